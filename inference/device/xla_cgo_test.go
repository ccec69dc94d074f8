//go:build cgo

package device

import (
	"testing"

	"github.com/gomlx/go-xla/pjrt"
)

func TestReleaseVersionIsTheOneGoXLAIsTestedWith(t *testing.T) {
	if pinned.releaseVersion != pjrt.DefaultCPUVersion {
		t.Errorf("%s, and go-xla's is %s", pinned.releaseVersion, pjrt.DefaultCPUVersion)
	}
}
