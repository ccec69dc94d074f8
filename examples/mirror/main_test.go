package main

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorikeet/adapters/store"
	"lorikeet/inference"
	"lorikeet/inference/hub"
	"lorikeet/inference/hub/mirror"
	"lorikeet/tuning"
	"lorikeet/tuning/datasets"
)

func TestTheStandInsAreWhatTheExamplesAskFor(t *testing.T) {
	root := t.TempDir()
	var out bytes.Buffer
	if err := run([]string{"--root", root, "--reviews", filepath.Join(root, "none"), "--t5", filepath.Join(root, "none")}, &out); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(out.String()), "\n") {
		if !strings.Contains(line, "stand-in") && !strings.Contains(line, "not there") {
			t.Errorf("does not say that it is none of the real ones: %s", line)
		}
	}
	server := httptest.NewServer(&mirror.Hub{Find: mirror.Folder(root)})
	t.Cleanup(server.Close)
	client := &hub.Client{Endpoint: server.URL, CacheDir: t.TempDir()}

	dir, _, err := client.Fetch(t.Context(), hub.Ref{Owner: "google-bert", Name: "bert-base-uncased"}, hub.ModelFiles)
	if err != nil {
		t.Fatal(err)
	}
	base, err := inference.OpenBase("bert", dir, os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	if f := base.Facts(); f.Family != "bert" || len(f.Labels) > 0 || !slices.Equal(f.Targets, []string{"query", "value"}) {
		t.Errorf("%+v", f)
	}

	dirStore, err := store.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dirStore.Close()
	service := datasets.New(datasets.Options{Store: dirStore, Hub: client, TempDir: t.TempDir()})
	of := func(split string) *tuning.Source {
		return &tuning.Source{HF: "stanfordnlp/imdb", Split: json.RawMessage(`"` + split + `"`)}
	}
	in, err := service.Inputs(t.Context(), tuning.Spec{Dataset: of("train"), Validation: of("test")})
	if err != nil {
		t.Fatal(err)
	}
	if in.Rows != 96 || in.ValidationRows != 24 || !slices.Equal(in.Labels, []string{"neg", "pos"}) {
		t.Errorf("%+v", in)
	}
	rows, err := service.Rows(t.Context(), in.Train)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(rows, func(a, b datasets.Row) int { return strings.Compare(a.Label, b.Label) }) {
		t.Error("the rows are not sorted by label, as the real ones are")
	}
}

func TestRefuses(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(bad, []byte("{\"text\":\"a\",\"label\":1}\n{\"text\":\"b\",\"label\":5}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		said string
	}{
		"no folder": {nil, "--root"},
		"bad rows":  {[]string{"--root", t.TempDir(), "--reviews", bad}, "line 2"},
		"a word":    {[]string{"--root", t.TempDir(), "x"}, "unexpected"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := run(c.args, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), c.said) {
				t.Errorf("error %v", err)
			}
		})
	}
}
