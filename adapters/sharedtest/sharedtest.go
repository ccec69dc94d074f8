// Package sharedtest finds the reference fixtures and data that lie beside a
// checkout, in ../shared. Tests that need them skip by name where they are missing.
package sharedtest

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Fixture returns the path of ../shared/fixtures/<name>, or skips t.
func Fixture(t testing.TB, name string) string { t.Helper(); return find(t, "fixtures", name) }

// Data returns the path of ../shared/data/<name>, or skips t.
func Data(t testing.TB, name string) string { t.Helper(); return find(t, "data", name) }

// Python returns an interpreter that has these modules: python3, or what the variable
// LORIKEET_PYTHON names. It skips t where there is none.
func Python(t testing.TB, modules ...string) string {
	t.Helper()
	python := cmp.Or(os.Getenv("LORIKEET_PYTHON"), "python3")
	if _, err := exec.LookPath(python); err != nil {
		t.Skipf("missing %s (LORIKEET_PYTHON)", python)
	}
	find := "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, sys.argv[1:])))"
	if err := exec.CommandContext(t.Context(), python, append([]string{"-c", find}, modules...)...).Run(); err != nil { //nolint:gosec // the Python that whoever runs the tests names
		t.Skipf("missing a Python with %s (LORIKEET_PYTHON)", strings.Join(modules, ", "))
	}
	return python
}

func find(t testing.TB, kind, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
	p := filepath.Join(filepath.Dir(dir), "shared", kind, filepath.FromSlash(name))
	if _, err := os.Stat(p); err != nil {
		t.Skipf("missing ../shared/%s/%s", kind, name)
	}
	return p
}
