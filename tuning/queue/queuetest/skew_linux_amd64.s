#include "textflag.h"

// Stands in for clock_gettime of the vDSO, and is called as C calls: DI is the number of
// the clock, SI the address of the answer, seconds and nanoseconds. It asks the kernel and
// then bends what it says:
//
//	t = t + (t - base) * skewPermille / 1000 + ahead
//
// where the wall clock has an ahead, and it and the monotonic clock each their base.
TEXT clockGettime<>(SB), NOSPLIT|NOFRAME, $0
	MOVL $228, AX // clock_gettime
	SYSCALL
	TESTQ AX, AX
	JNZ  done
	CMPL DI, $1
	JHI  done // neither CLOCK_REALTIME nor CLOCK_MONOTONIC
	MOVL DI, DI

	MOVQ 0(SI), AX
	IMULQ $1000000000, AX
	ADDQ 8(SI), AX
	MOVQ AX, R8 // t in nanoseconds

	LEAQ ·skewBase(SB), R9
	SUBQ (R9)(DI*8), AX
	IMULQ ·skewPermille(SB), AX
	CQO
	MOVQ $1000, R10
	IDIVQ R10
	ADDQ AX, R8

	LEAQ ·skewAhead(SB), R9
	ADDQ (R9)(DI*8), R8

	MOVQ R8, AX
	CQO
	MOVQ $1000000000, R10
	IDIVQ R10
	MOVQ AX, 0(SI)
	MOVQ DX, 8(SI)
	XORL AX, AX
done:
	RET

// func skewEntry() uintptr
TEXT ·skewEntry(SB), NOSPLIT, $0-8
	LEAQ clockGettime<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET
