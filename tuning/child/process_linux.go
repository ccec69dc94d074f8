package child

import "syscall"

// dieWithParent has the kernel kill the child when its parent dies, even by SIGKILL.
// Elsewhere the child notices that its standard input ends.
func dieWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
