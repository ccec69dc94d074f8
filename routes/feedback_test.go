package routes

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lorikeet/routes/access"
	"lorikeet/tuning/datasets"
	"lorikeet/tuning/feedback"
)

func TestFeedback(t *testing.T) {
	s := newService(t, nil)
	var first given
	s.want(201, "POST", "/feedback", `{"collection":"mood","row":{"text":"good","label":"bad"},"correct":false,"model":"bert","adapter":"mood@1","request_id":"req_1"}`).into(&first)
	if first.ID == "" || first.Row.Label != "bad" || *first.Correct || first.Adapter != "mood@1" || first.RequestID != "req_1" {
		t.Errorf("%+v", first)
	}
	var second given
	s.want(201, "POST", "/v1/feedback", `{"collection":"mood","row":{"text":"good","label":"good"},"correct":null}`).into(&second)
	s.want(201, "POST", "/feedback", `{"collection":"mood","row":{"text":"awful","label":"bad"},"correct":true,"adapter":"mood@1"}`)
	s.want(201, "POST", "/feedback", `{"collection":"stars","row":{"instruction":"Rate.","input":"Fine.","output":"3 of 5"}}`)

	var list page[feedback.Collection]
	s.want(200, "GET", "/feedback?limit=1", nil).into(&list)
	if len(list.Data) != 1 || list.Data[0].Rows != 3 || !list.HasMore {
		t.Errorf("%+v", list)
	}
	s.want(200, "GET", "/feedback?after="+list.LastID, nil).into(&list)
	if len(list.Data) != 1 || list.Data[0].Kind != "instruction" || list.HasMore {
		t.Errorf("%+v", list)
	}
	var sum feedback.Summary
	s.want(200, "GET", "/feedback/mood", nil).into(&sum)
	if sum.Rows != 3 || sum.Texts != 2 || sum.Answers != (feedback.Tally{Correct: 1, Wrong: 1, Unknown: 1}) || len(sum.Adapters) != 1 || sum.Adapters[0].Wrong != 1 {
		t.Errorf("%+v", sum)
	}
	var rows page[given]
	s.want(200, "GET", "/feedback/mood/rows?limit=2", nil).into(&rows)
	if len(rows.Data) != 2 || rows.Data[0].Row.Text != "awful" || rows.LastID != second.ID || !rows.HasMore {
		t.Errorf("%+v", rows)
	}
	s.want(200, "GET", "/feedback/mood/rows?after="+rows.LastID, nil).into(&rows)
	if len(rows.Data) != 1 || rows.Data[0].ID != first.ID || rows.HasMore {
		t.Errorf("%+v", rows)
	}

	old := s.upload("text,label\ngood,bad\nfine,good\n")
	var set datasets.Dataset
	a := s.want(201, "POST", "/feedback/mood/datasets", `{"with":"`+old.ID+`","name":"mood, corrected"}`)
	a.into(&set)
	if a.header.Get("Location") != "/datasets/"+set.ID || set.Rows != 3 || set.Name != "mood, corrected" || set.Feedback.Replaced != 1 || set.Labels["good"] != 2 {
		t.Errorf("%+v, %+v", set, set.Feedback)
	}
	if again := s.want(200, "POST", "/feedback/mood/datasets", `{"with":"`+old.ID+`","clear":true}`); !strings.Contains(string(again.body), set.ID) {
		t.Errorf("again it is %s", again.body)
	}
	if b := s.want(200, "GET", "/datasets/"+set.ID+"/preview", nil).body; !strings.Contains(string(b), `[{"text":"good","label":"good"},{"text":"fine","label":"good"},{"text":"awful","label":"bad"}]`) {
		t.Errorf("%s", b)
	}
	s.want(202, "POST", "/tune/lora", fmt.Sprintf(`{"model":"bert","name":"mood","dataset":{"id":%q}}`, set.ID))
	if s.want(200, "GET", "/feedback/mood", nil).into(&sum); sum.Rows != 0 {
		t.Errorf("cleared, there are %d rows", sum.Rows)
	}
	var late given
	s.want(201, "POST", "/feedback", `{"collection":"mood","row":{"text":"late","label":"good"}}`).into(&late)
	s.want(204, "DELETE", "/feedback/mood/rows/"+late.ID, nil)
	s.want(204, "DELETE", "/feedback/mood", nil)

	for name, c := range map[string]struct {
		status             int
		method, path, body string
		field              string
	}{
		"nothing":                        {422, "POST", "", `{}`, "row"},
		"no row":                         {422, "POST", "", `{"collection":"mood","row":null}`, "row"},
		"no collection":                  {422, "POST", "", `{"row":{"text":"a","label":"b"}}`, "collection"},
		"a collection that is no name":   {422, "POST", "", `{"collection":"A b","row":{"text":"a","label":"b"}}`, "collection"},
		"a row without an answer":        {422, "POST", "", `{"collection":"mood","row":{"text":"a"}}`, "row"},
		"a row with an empty answer":     {422, "POST", "", `{"collection":"mood","row":{"text":"a","label":""}}`, "row.label"},
		"a row that is a text":           {422, "POST", "", `{"collection":"mood","row":"a"}`, "row"},
		"a row of another kind":          {422, "POST", "", `{"collection":"stars","row":{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}}`, "row"},
		"an adapter that is no name":     {422, "POST", "", `{"collection":"mood","row":{"text":"a","label":"b"},"adapter":"x@y"}`, "adapter"},
		"a model that is no name":        {422, "POST", "", `{"collection":"mood","row":{"text":"a","label":"b"},"model":"X"}`, "model"},
		"an id that is none":             {422, "POST", "", `{"collection":"mood","row":{"text":"a","label":"b"},"request_id":"a b"}`, "request_id"},
		"a field that is not":            {400, "POST", "", `{"collection":"mood","row":{"text":"a","label":"b"},"label":"x"}`, "label"},
		"too much":                       {413, "POST", "", `{"collection":"mood","row":{"text":"` + strings.Repeat("a", 70<<10) + `","label":"b"}}`, ""},
		"a collection that is not":       {404, "GET", "/nothing", "", "collection"},
		"the rows of one that is not":    {404, "GET", "/mood/rows", "", "collection"},
		"a path for a collection":        {404, "GET", "/..%2fkeys", "", ""},
		"a page of no rows":              {422, "GET", "/stars/rows?limit=0", "", "limit"},
		"a page after no row":            {422, "GET", "/stars/rows?after=x", "", "after"},
		"to delete what is not":          {404, "DELETE", "/mood", "", "collection"},
		"to delete a row that is not":    {404, "DELETE", "/stars/rows/fb_1", "", "collection"},
		"a data set of nothing":          {404, "POST", "/mood/datasets", `{}`, "collection"},
		"together with what is not":      {404, "POST", "/stars/datasets", `{"with":"ds_00000000000000000000"}`, "with"},
		"together with another kind":     {422, "POST", "/stars/datasets", `{"with":"` + old.ID + `"}`, "with"},
		"a data set of an unusable name": {422, "POST", "/stars/datasets", `{"name":"a\nb"}`, "name"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			var body any
			if c.body != "" {
				body = c.body
			}
			p := s.on(t).want(c.status, c.method, "/feedback"+c.path, body).problem()
			if c.field != "" && !slices.Contains(p.fields(), c.field) {
				t.Errorf("fields %q", p.fields())
			}
		})
	}
	t.Run("tells OpenAI's clients in their way", func(t *testing.T) {
		s.on(t).want(400, "POST", "/v1/feedback", `{"collection":"mood","row":{"text":"a"}}`)
	})
}

func TestFeedbackOfTenants(t *testing.T) {
	s := guarded(t, nil)
	_, app := s.key(access.Predict, "acme")
	id, tuner := s.key(access.Tune, "acme")
	_, other := s.key(access.Tune, "other")
	_, admin := s.key(access.Admin, "")
	row := `{"collection":"mood","row":{"text":"a","label":"b"}}`
	s.want(401, "POST", "/feedback", row)
	var told given
	s.want(201, "POST", "/feedback", row, app...).into(&told)
	s.want(201, "POST", "/feedback", `{"collection":"mood","row":{"text":"b","label":"c"}}`, tuner...).into(&told)
	if told.Key != id {
		t.Errorf("sent by %q", told.Key)
	}
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/feedback", ""}, {"GET", "/feedback/mood", ""}, {"GET", "/feedback/mood/rows", ""}, {"DELETE", "/feedback/mood", ""},
		{"DELETE", "/feedback/mood/rows/" + told.ID, ""}, {"POST", "/feedback/mood/datasets", "{}"},
	} {
		var body any
		if c.body != "" {
			body = c.body
		}
		s.want(403, c.method, c.path, body, app...)
		for _, who := range [][]string{other, admin} {
			if c.path == "/feedback" {
				var none page[json.RawMessage]
				if s.want(200, c.method, c.path, nil, who...).into(&none); len(none.Data) != 0 {
					t.Errorf("another tenant sees %s", none.Data)
				}
				continue
			}
			s.want(404, c.method, c.path, body, who...)
		}
	}
	var mine, theirs datasets.Dataset
	s.want(201, "POST", "/feedback/mood/datasets", "{}", tuner...).into(&mine)
	if mine.Tenant != "acme" {
		t.Errorf("it is %q's", mine.Tenant)
	}
	s.want(200, "GET", "/datasets/"+mine.ID, nil, tuner...)
	s.want(404, "GET", "/datasets/"+mine.ID, nil, other...)
	for _, r := range []string{`{"text":"a","label":"b"}`, `{"text":"b","label":"c"}`} {
		s.want(201, "POST", "/feedback", `{"collection":"mood","row":`+r+`}`, other...)
	}
	s.want(201, "POST", "/feedback/mood/datasets", "{}", other...).into(&theirs)
	if theirs.ID == mine.ID || theirs.Tenant != "other" {
		t.Errorf("the same rows are %s and %s", mine.ID, theirs.ID)
	}
	s.want(404, "POST", "/feedback/mood/datasets", `{"with":"`+mine.ID+`"}`, other...)
	s.want(204, "DELETE", "/feedback/mood", nil, tuner...)
	s.want(200, "GET", "/feedback/mood", nil, other...)
}
