package queuetest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// What clockGettime reads, of the wall clock and of the monotonic one.
var (
	skewBase     [2]int64 // ns
	skewAhead    [2]int64 // ns
	skewPermille int64    //nolint:unused // by how much the clocks go too fast; the assembly reads it
)

func skewEntry() uintptr

// Set makes this process's clock wrong for the rest of its life. A process calls it before
// anything else, and once.
//
// A Go program asks the vDSO for the time, which libfaketime, at home in the C library,
// does not reach. So the vDSO's code is replaced by a jump into ours, as debuggers set
// breakpoints: by writing into this process's memory.
func (c Clock) Set() error {
	var now [2]syscall.Timespec
	for clock := range now {
		if _, _, e := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&now[clock])), 0); e != 0 { //nolint:gosec // the system call itself: the vDSO is about to be replaced
			return fmt.Errorf("%w: %w", ErrNoSkew, e)
		}
		skewBase[clock] = now[clock].Nano()
	}
	skewAhead[0] = c.Ahead.Nanoseconds()
	skewPermille = int64((c.rate() - 1) * 1000)

	memory, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoSkew, err)
	}
	defer memory.Close()
	at, err := vdsoSymbol(memory, "__vdso_clock_gettime")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoSkew, err)
	}
	jump := binary.LittleEndian.AppendUint64([]byte{0x49, 0xbb}, uint64(skewEntry())) // MOVQ $entry, R11
	jump = append(jump, 0x41, 0xff, 0xe3)                                             // JMP R11
	if _, err := memory.WriteAt(jump, int64(at)); err != nil {                        //nolint:gosec // an address of this process
		return fmt.Errorf("%w: the vDSO cannot be written: %w", ErrNoSkew, err)
	}
	return nil
}

// vdsoSymbol is the address of a function of the vDSO.
func vdsoSymbol(memory *os.File, name string) (uint64, error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(line, "[vdso]\n") {
			continue
		}
		from, rest, _ := strings.Cut(line, "-")
		to, _, _ := strings.Cut(rest, " ")
		begin, err1 := strconv.ParseUint(from, 16, 63)
		end, err2 := strconv.ParseUint(to, 16, 63)
		if err := errors.Join(err1, err2); err != nil {
			return 0, err
		}
		image := make([]byte, end-begin)
		if _, err := memory.ReadAt(image, int64(begin)); err != nil {
			return 0, err
		}
		f, err := elf.NewFile(bytes.NewReader(image))
		if err != nil {
			return 0, err
		}
		symbols, err := f.DynamicSymbols()
		if err != nil {
			return 0, err
		}
		for _, s := range symbols {
			if s.Name == name {
				return begin + s.Value, nil // the image is linked at address 0
			}
		}
	}
	return 0, fmt.Errorf("no %s", name)
}
