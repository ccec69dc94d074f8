package safetensors

import (
	"encoding/binary"
	"unsafe"
)

// number is an element that Go and the file lay out alike, up to byte order.
type number interface{ float32 | int32 | int64 }

// littleEndian: all machines that run this in earnest. The others swap bytes.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// memory is the bytes behind s, so that a tensor is read and written with one
// call and no loop over its elements.
func memory[E number](s []E) []byte {
	if len(s) == 0 {
		return nil
	}
	// The slice covers exactly the elements of s, and bytes have no alignment.
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(s[0]))) // #nosec G103
}

// fromLittleEndian turns elements just read as bytes into elements of this machine.
func fromLittleEndian[E number](s []E) {
	if !littleEndian && len(s) > 0 {
		swap(memory(s), int(unsafe.Sizeof(s[0]))) // #nosec G103
	}
}

// swap reverses the bytes of each element.
func swap(b []byte, width int) {
	for ; len(b) >= width; b = b[width:] {
		for i, j := 0, width-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
}
