package cli

import (
	"net/http"
	"strings"
	"testing"
)

func TestCheckpoints(t *testing.T) {
	f := newFake(t, map[string]http.HandlerFunc{"GET /tune/jobs/job_1/checkpoints": says(`{"data":[{"step":20,"attempt":2,"bytes":2048,"metrics":{"eval_loss":0.25}},{"step":10,"attempt":1,"best":true}],"has_more":false}`)})
	out, errOut, code := f.run("", "jobs", "checkpoints", "job_1")
	if lines := strings.Split(out, "\n"); code != 0 || len(lines) != 4 || !strings.Contains(lines[1], "20    2        2.0 KiB") || !strings.Contains(lines[1], "loss 0.250") || !strings.HasSuffix(lines[2], "best") {
		t.Errorf("%d %s%s", code, out, errOut)
	}
	if _, _, code := f.run("", "jobs", "checkpoints", "job_2"); code != failed {
		t.Errorf("%d", code)
	}
}
