package cli

import (
	"net/http"
	"strings"
	"testing"
)

func TestDoctor(t *testing.T) {
	f := newFake(t, map[string]http.HandlerFunc{
		"GET /datasets/ds_1/doctor":                 says(`{"dataset":"ds_1","rows":9,"sound_rows":3,"findings":[{"kind":"duplicate","count":5,"advice":"it counts\u001b twice","examples":[{"row":2,"of":1},{"row":3,"of":1},{"row":4,"of":1},{"row":5,"of":1},{"row":6,"of":1}]},{"kind":"empty","count":1,"advice":"nothing","examples":[{"row":9}]},{"kind":"rare_label","count":1,"advice":"few","examples":[{"detail":"so-so: 1"}]}]}`),
		"GET /datasets/ds_2/doctor?validation=ds_3": says(`{"rows":4,"sound_rows":4,"findings":[]}`),
		"POST /datasets/ds_1/clean":                 says(`{"id":"ds_4","name":"r.csv (cleaned)","kind":"classification","rows":3,"format":"jsonl","cleaned_from":"ds_1","quarantine":{"rows":6,"reasons":{"duplicate":5,"empty":1}}}`),
		"POST /datasets/ds_2/clean":                 says(`{"id":"ds_2","rows":4}`),
		"GET /datasets/ds_4/quarantine":             says(`{"row":2,"reasons":["duplicate"],"data":{}}` + "\n"),
	})
	out, errOut, code := f.run("", "datasets", "doctor", "ds_1")
	for _, w := range []string{"3 of 9 rows have nothing the matter", "2 (as 1), 3 (as 1), 4 (as 1), 5 (as 1), …", "empty       1      9 ", "so-so: 1", "it counts\uFFFD twice"} {
		if code != 0 || !strings.Contains(out, w) {
			t.Errorf("%d: %s%s lacks %q", code, out, errOut, w)
		}
	}
	if out, _, code := f.run("", "datasets", "doctor", "ds_2", "--validation", "ds_3"); code != 0 || out != "4 of 4 rows have nothing the matter\n" {
		t.Errorf("%d %q", code, out)
	}
	if out, errOut, code := f.run("", "datasets", "clean", "ds_1"); code != 0 || !strings.Contains(out, "ds_4") || !strings.Contains(out, "6 rows: duplicate 5, empty 1") {
		t.Errorf("%d %s%s", code, out, errOut)
	}
	f.asked = nil
	if _, errOut, code := f.run("", "datasets", "clean", "ds_2", "--drop", "duplicate,length", "--validation", "ds_3", "--name", "tidy"); code != 0 || !strings.Contains(errOut, "nothing to leave out") {
		t.Errorf("%d %s", code, errOut)
	}
	same(t, "the request", f.body(0), `{"drop":["duplicate","length"],"validation":"ds_3","name":"tidy"}`)
	if out, _, code := f.run("", "datasets", "quarantine", "ds_4"); code != 0 || out != `{"row":2,"reasons":["duplicate"],"data":{}}`+"\n" {
		t.Errorf("%d %q", code, out)
	}
	if out, _, code := f.run("", "datasets", "quarantine", "ds_1"); code != failed || out != "" {
		t.Errorf("%d %q", code, out)
	}
}
