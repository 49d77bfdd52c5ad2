// libibt from Go: backups and restores in several goroutines at once, and a cancel from another goroutine. The
// scheduler may move a goroutine to another thread before it reads an error.
package main

/*
#cgo LDFLAGS: -libt
#include <ibt.h>
#include <stdlib.h>
*/
import "C"

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"unsafe"
)

// A call of an operation with its report and error.
type call func(**C.ibt_report, **C.ibt_error) C.ibt_status

// run calls the operation, and returns its status and the message of its error. It frees the report and the error.
func run(operation call) (int, string) {
	var report *C.ibt_report
	var err *C.ibt_error
	status := operation(&report, &err)
	runtime.Gosched()
	message := C.GoString(C.ibt_error_message(err))
	C.ibt_error_free(err)
	C.ibt_report_free(report)
	return int(status), message
}

func expect(what string, operation call, wanted int) {
	if status, message := run(operation); status != wanted {
		panic(fmt.Sprintf("%s: status %d, not %d: %s", what, status, wanted, message))
	}
}

func text(s string) *C.char { return C.CString(s) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func backUpAndRestore(room string, number int) {
	source := filepath.Join(room, fmt.Sprintf("source-%d", number))
	must(os.Mkdir(source, 0o755))
	content := bytes.Repeat([]byte{byte(number)}, 300000)
	must(os.WriteFile(filepath.Join(source, "file"), content, 0o644))
	key := text(filepath.Base(source))
	path, dest, cache := text(source), text(source+"-restored"), text(filepath.Join(room, "cache"))
	absent := text(source + "-absent")
	for _, name := range []*C.char{key, path, dest, cache, absent} {
		defer C.free(unsafe.Pointer(name))
	}
	store := text(filepath.Join(room, "store"))
	defer C.free(unsafe.Pointer(store))
	var storage *C.ibt_storage
	if C.ibt_storage_open_dir(store, 0, &storage, nil) != C.IBT_OK {
		panic("the storage does not open")
	}
	defer C.ibt_storage_free(storage)
	options := C.ibt_options_new()
	defer C.ibt_options_free(options)
	C.ibt_options_set_cache_dir(options, cache)
	full := func(r **C.ibt_report, e **C.ibt_error) C.ibt_status {
		return C.ibt_full_backup(storage, path, options, r, e)
	}
	expect("full", full, C.IBT_OK)
	expect("increment", func(r **C.ibt_report, e **C.ibt_error) C.ibt_status {
		return C.ibt_incremental_backup(storage, path, options, r, e)
	}, C.IBT_OK)
	expect("restore", func(r **C.ibt_report, e **C.ibt_error) C.ibt_status {
		return C.ibt_restore(storage, key, dest, nil, r, e)
	}, C.IBT_OK)
	expect("absent source", func(r **C.ibt_report, e **C.ibt_error) C.ibt_status {
		return C.ibt_full_backup(storage, absent, options, r, e)
	}, C.IBT_ERR_IO)
	restored, err := os.ReadFile(source + "-restored/file")
	must(err)
	if !bytes.Equal(restored, content) {
		panic("what came back is not what went in")
	}
	cancel := C.ibt_cancel_new()
	defer C.ibt_cancel_free(cancel)
	C.ibt_options_set_cancel(options, cancel)
	done := make(chan bool)
	go func() { C.ibt_cancel_request(cancel); close(done) }()
	<-done
	expect("cancelled", full, C.IBT_ERR_CANCELLED)
}

func main() {
	room, err := os.MkdirTemp("", "ibt-go-")
	must(err)
	defer os.RemoveAll(room)
	var all sync.WaitGroup
	for number := 0; number < 8; number++ {
		all.Add(1)
		go func(number int) {
			defer all.Done()
			backUpAndRestore(room, number)
		}(number)
	}
	all.Wait()
	fmt.Println("go: ok")
}
