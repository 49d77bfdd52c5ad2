package ibt

import (
	"errors"
	"testing"
	"unsafe"
)

// counted makes a handle that counts how often its pointer is freed.
func counted(freed *int) *handle {
	return &handle{kind: "thing", pointer: unsafe.Pointer(new(int)), free: func(unsafe.Pointer) { *freed++ }}
}

func TestAHandleFreesOnceAndNotDuringACall(t *testing.T) {
	freed := 0
	idle := counted(&freed)
	idle.close()
	idle.close()
	if freed != 1 {
		t.Errorf("an idle handle was freed %d times", freed)
	}
	if _, err := idle.take(); !errors.Is(err, ErrInvalidArg) || err.Error() != "ibt: the thing is closed" {
		t.Errorf("a closed handle: %v", err)
	}

	freed = 0
	used := counted(&freed)
	for range []int{1, 2} {
		if _, err := used.take(); err != nil {
			t.Fatal(err)
		}
		if _, err := used.take(); !errors.Is(err, ErrBusy) {
			t.Errorf("a second call: %v", err)
		}
		used.give()
	}
	if _, err := used.take(); err != nil {
		t.Fatal(err)
	}
	used.close()
	used.close()
	if _, err := used.take(); !errors.Is(err, ErrInvalidArg) {
		t.Errorf("a handle that was closed during a call: %v", err)
	}
	if freed != 0 {
		t.Error("the handle was freed during a call")
	}
	used.give()
	if freed != 1 {
		t.Errorf("a handle that was closed during a call was freed %d times after it", freed)
	}
	used.close()
	if freed != 1 {
		t.Errorf("a second close freed the handle again: %d times", freed)
	}
}

func TestAGateLetsOneCallIn(t *testing.T) {
	var g gate
	first, second := &call{}, &call{}
	if err := g.enter(first); err != nil || g.call() != first {
		t.Errorf("the first call: %v", err)
	}
	if err := g.enter(second); !errors.Is(err, ErrBusy) || g.call() != first {
		t.Errorf("the second call: %v", err)
	}
	g.leave()
	if err := g.enter(second); err != nil || g.call() != second {
		t.Errorf("a call after the first: %v", err)
	}
}
