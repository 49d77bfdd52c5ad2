package ibt

// #include "bridge.h"
import "C"

import (
	"strings"
	"unsafe"
)

// text is a string as C has it: ended by NUL, in memory of C.
type text struct{ c *C.char }

// newText copies a string. A string with a NUL byte fails: C would see only a part of it.
func newText(name, value string) (text, error) {
	if strings.IndexByte(value, 0) >= 0 {
		return text{}, invalid("the %s has a NUL byte", name)
	}
	return text{C.CString(value)}, nil
}

func (t text) free() { C.free(unsafe.Pointer(t.c)) }

type texts []text

// newTexts copies strings, which come after their names.
func newTexts(namesAndValues ...string) (all texts, err error) {
	for i := 0; i < len(namesAndValues); i += 2 {
		made, err := newText(namesAndValues[i], namesAndValues[i+1])
		if err != nil {
			all.free()
			return nil, err
		}
		all = append(all, made)
	}
	return all, nil
}

func (all texts) free() {
	for _, t := range all {
		t.free()
	}
}
