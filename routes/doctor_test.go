package routes

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"lorikeet/tuning/datasets"
)

const sickCSV = "text,label\na fine film,good\na fine film,good\nA FINE film!,good\na poor film,bad\na poor film,good\nasked again,bad\nsound one,good\nsound two,bad\n"

func TestDoctor(t *testing.T) {
	s := newService(t, nil)
	set := s.upload(sickCSV)
	held := s.upload("text,label\n\"Asked, again\",bad\nother,good\n")
	var e datasets.Examination
	s.want(200, "GET", "/datasets/"+set.ID+"/doctor", nil).into(&e)
	var kinds []string
	for _, f := range e.Findings {
		kinds = append(kinds, f.Kind)
	}
	if e.Rows != 8 || e.Sound != 4 || !slices.Equal(kinds, []string{"duplicate", "normalised", "contradiction", "rare_label"}) {
		t.Errorf("%+v", e)
	}
	s.want(200, "GET", "/datasets/"+set.ID+"/doctor?validation="+held.ID, nil).into(&e)
	if e.Validation != 2 || e.Sound != 3 {
		t.Errorf("beside the validation rows: %+v", e)
	}
	var clean datasets.Dataset
	a := s.want(201, "POST", "/datasets/"+set.ID+"/clean", `{"validation":"`+held.ID+`"}`)
	a.into(&clean)
	if clean.Rows != 3 || clean.CleanedFrom != set.ID || clean.Labels["good"] != 2 || clean.Labels["bad"] != 1 || clean.Quarantine.Rows != 5 ||
		clean.Quarantine.Reasons["contradiction"] != 2 || clean.Quarantine.Reasons["leakage"] != 1 || clean.Name != "some.csv (cleaned)" || a.header.Get("Location") != "/datasets/"+clean.ID {
		t.Errorf("%+v, %+v", clean, clean.Quarantine)
	}
	if again := s.want(200, "POST", "/datasets/"+set.ID+"/clean", `{"validation":"`+held.ID+`"}`); !strings.Contains(string(again.body), clean.ID) {
		t.Errorf("cleaned again it is %s", again.body)
	}
	if b := s.want(200, "GET", "/datasets/"+clean.ID+"/preview", nil).body; !strings.Contains(string(b), `{"text":"a fine film","label":"good"},{"text":"sound one","label":"good"},{"text":"sound two","label":"bad"}`) {
		t.Errorf("%s", b)
	}
	lines := strings.Split(strings.TrimSpace(string(s.want(200, "GET", "/datasets/"+clean.ID+"/quarantine", nil).body)), "\n")
	var first struct {
		Row     int
		Reasons []string
		Data    datasets.Row
	}
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || len(lines) != 5 || first.Row != 2 || first.Reasons[0] != "duplicate" || first.Data.Text != "a fine film" {
		t.Errorf("%q, %v", lines, err)
	}
	s.want(404, "GET", "/datasets/"+set.ID+"/quarantine", nil)
	if same := s.want(200, "POST", "/datasets/"+clean.ID+"/clean", `{}`); !strings.Contains(string(same.body), `"id":"`+clean.ID) {
		t.Errorf("of sound rows: %s", same.body)
	}
	var some datasets.Dataset
	s.want(201, "POST", "/datasets/"+set.ID+"/clean", `{"drop":["duplicate"],"name":"mine"}`).into(&some)
	if some.Rows != 7 || some.Name != "mine" {
		t.Errorf("%+v", some)
	}
	for name, c := range map[string]struct {
		status       int
		method, path string
		body         any
	}{
		"an unknown ailment":          {422, "POST", set.ID + "/clean", `{"drop":["flu"]}`},
		"to leave nothing":            {422, "POST", s.upload("text,label\nsame,good\nsame,bad\n").ID + "/clean", `{}`},
		"a data set that is not":      {404, "GET", "ds_00000000000000000000/doctor", nil},
		"a validation set that isn't": {404, "GET", set.ID + "/doctor?validation=ds_00000000000000000000", nil},
		"another kind to validate":    {422, "GET", set.ID + "/doctor?validation=" + s.upload("text,score\na,0.5\nb,1.5\nc,2.25\n").ID, nil},
		"a name with a line break":    {422, "POST", set.ID + "/clean", `{"name":"a\nb"}`},
	} {
		t.Run("refuses "+name, func(t *testing.T) { s.on(t).want(c.status, c.method, "/datasets/"+c.path, c.body) })
	}
}
