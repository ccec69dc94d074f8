package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lorikeet/examples"
)

// says runs a command line against a service, as the shell would.
func (c client) says(stdin string, args ...string) (out, errOut string, status int) {
	c.t.Helper()
	c.t.Setenv("LORIKEET_URL", c.url)
	cmd := command()
	var stdout, stderr bytes.Buffer
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(c.t.Context())
	var coded interface {
		error
		ExitCode() int
	}
	switch {
	case errors.As(err, &coded):
		status = coded.ExitCode()
	case err != nil:
		status = 1
	}
	if err != nil {
		stderr.WriteString(err.Error())
	}
	return stdout.String(), stderr.String(), status
}

// must is says, for what has to succeed.
func (c client) must(stdin string, args ...string) string {
	c.t.Helper()
	out, errOut, status := c.says(stdin, args...)
	if status != 0 {
		c.t.Fatalf("%v ends with %d: %s%s", args, status, out, errOut)
	}
	return out
}

// TestCommandLine is a user's first hour in a shell.
func TestCommandLine(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: two tunes")
	}
	data := t.TempDir()
	token := adminKey(t, "--data", data)
	c, _ := launch(t, "--data", data, "--keys")
	if _, errOut, status := c.says("", "models"); status != 1 || !strings.Contains(errOut, "LORIKEET_KEY") {
		t.Errorf("without a key: %d %s", status, errOut)
	}
	t.Setenv("LORIKEET_KEY", token)
	if out := c.must("", "models"); !strings.Contains(out, "tiny-bert") || !strings.Contains(out, "tiny-t5") {
		t.Errorf("models: %s", out)
	}
	sentiment, err := column("sentiment")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, bad := filepath.Join(dir, "reviews.csv"), filepath.Join(dir, "bad.csv")
	for name, content := range map[string][]byte{file: sentiment, bad: []byte("text,label\na,b\n,b\n")} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, errOut, status := c.says("", "datasets", "upload", bad); status != 1 || !strings.Contains(errOut, "line 3") {
		t.Errorf("a bad file: %d %s", status, errOut)
	}
	set := c.must("", "datasets", "upload", file)
	if !strings.Contains(set, "negative 60, positive 60") {
		t.Errorf("upload: %s", set)
	}
	tune := []string{"tune", "lora", "-m", "tiny-bert", "-n", "sentiment", "-d", file, "--validation", "0.25", "--batch-size", "8", "--epochs", "4", "--set", "hyperparameters.learning_rate=0.003"}
	if out := c.must("", append(tune, "--dry-run")...); !strings.Contains(out, "90 and 30 held back") {
		t.Errorf("dry run: %s", out)
	}
	if _, errOut, status := c.says("", append(tune, "--rank", "0", "--set", "hyperparameters.epochs=0")...); status != 1 || !strings.Contains(errOut, "lora.r") || !strings.Contains(errOut, "hyperparameters.epochs") {
		t.Errorf("two mistakes: %d %s", status, errOut)
	}
	out, errOut, status := c.says("", append(tune, "--wait")...)
	if status != 0 || !strings.Contains(out, "sentiment@1") || !strings.Contains(errOut, "running, training") || !strings.Contains(errOut, "succeeded") {
		t.Fatalf("tune --wait: %d %s%s", status, out, errOut)
	}
	if out := c.must("", "predict", "-m", "tiny-bert", "-a", "sentiment", "-a", "sentiment@1", "What a wonderful evening!"); strings.Count(out, "positive") != 2 {
		t.Errorf("predict: %s", out)
	}
	var p struct{ Results []struct{ Label string } }
	if err := json.Unmarshal([]byte(c.must("The soup was cold.\nA superb dessert.\n", "predict", "-m", "sentiment", "--json")), &p); err != nil || len(p.Results) != 2 {
		t.Errorf("predict --json: %+v, %v", p, err)
	}
	if out := c.must("", "generate", "-m", "tiny-t5", "-i", "Is this review positive or negative?", "The soup was cold and the waiter was rude."); out != "negative\n" {
		t.Errorf("generate: %q", out)
	}

	// A job that is cancelled, whoever waits for it.
	var rows strings.Builder
	for range 50 {
		rows.WriteString(examples.Instructions)
	}
	if err := os.WriteFile(filepath.Join(dir, "rows.jsonl"), []byte(rows.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(c.must("", "tune", "instruction", "-m", "tiny-t5", "-n", "stars", "-d", filepath.Join(dir, "rows.jsonl"), "--epochs", "500"))
	if out := c.must("", "jobs", "list", "--limit", "1"); !strings.Contains(out, id) || !strings.Contains(out, "stars") {
		t.Errorf("jobs list: %s", out)
	}
	if out := c.must("", "jobs", "cancel", id); !strings.Contains(out, "cancelled") {
		t.Errorf("jobs cancel: %s", out)
	}
	if _, errOut, status := c.says("", "jobs", "wait", id); status != 3 || !strings.Contains(errOut, "cancelled") {
		t.Errorf("jobs wait: %d %s", status, errOut)
	}
	if _, errOut, status := c.says("", "jobs", "pause", id); status != 1 || !strings.Contains(errOut, "Job is over") {
		t.Errorf("jobs pause: %d %s", status, errOut)
	}
	if out := c.must("", "jobs", "queue"); !strings.Contains(out, "default") {
		t.Errorf("jobs queue: %s", out)
	}

	// Out and in again.
	folder := filepath.Join(dir, "peft")
	c.must("", "adapters", "download", "sentiment", "--to", folder)
	if out := c.must("", "adapters", "import", folder, "-n", "copy", "-m", "tiny-bert"); out != "copy@1\n" {
		t.Errorf("import: %s", out)
	}
	if out := c.must("", "adapters", "pin", "copy"); !strings.Contains(out, "pinned") {
		t.Errorf("pin: %s", out)
	}
	if out := c.must("", "adapters", "list"); !strings.Contains(out, "copy@1") || !strings.Contains(out, "accuracy") {
		t.Errorf("adapters list: %s", out)
	}
	c.must("", "adapters", "delete", "copy", "--yes")
	if _, errOut, status := c.says("", "adapters", "get", "copy"); status != 1 || !strings.Contains(errOut, "copy") {
		t.Errorf("after delete: %d %s", status, errOut)
	}
	if out := c.must("", "__complete", "predict", "-a", ""); !strings.HasPrefix(out, "sentiment\nsentiment@1\n") {
		t.Errorf("completion: %s", out)
	}
}

// TestCommandLineBeyond does with commands what TestBeyond does with curl.
func TestCommandLineBeyond(t *testing.T) {
	c, _ := tour(t)
	t.Chdir(t.TempDir())
	sees := func(want string, args ...string) {
		t.Helper()
		if out := c.must("", args...); !strings.Contains(out, want) {
			t.Errorf("%v: %q lacks %q", args, out, want)
		}
	}
	sees("YOURS", "predict", "--adapters", "mine,yours", "the movie was great")
	sees("abstains (", "predict", "-a", "mine", "--abstain-below", "1", "the movie was great")
	sees("both@1\n", "adapters", "merge", "mine=0.5", "yours@1=0.5", "--name", "both", "--method", "cat")
	sees("cat of mine@1 × 0.5, yours@1 × 0.5", "adapters", "passport", "both")
	sees("# both", "adapters", "card", "both@1")
	sees("both@2\n", "adapters", "merge", "mine", "yours", "-n", "both")
	sees("both: @1 25 %, @2 75 %, sticky by none\n", "adapters", "traffic", "both", "1=1", "2=3", "--sticky", "none")
	sees("@1 25 %, @2 75 %", "adapters", "get", "both")
	if _, errOut, status := c.says("", "adapters", "traffic", "both", "9=1"); status != 1 || !strings.Contains(errOut, "both@9 does not exist") {
		t.Errorf("a version that is not there: %d %s", status, errOut)
	}
	sees("not split", "adapters", "traffic", "both", "--clear")
	sees("not split", "adapters", "traffic", "both")

	// Merged with its base it is a base of its own.
	sees(filepath.Join("whole", "model.safetensors"), "adapters", "download", "mine", "--merged", "--to", "whole")
	text, err := os.ReadFile(filepath.Join("whole", "config.json"))
	if err != nil || !bytes.Contains(text, []byte("ForSequenceClassification")) {
		t.Errorf("%s %v", text, err)
	}
	if tarred := c.must("", "adapters", "download", "mine", "--merged", "--tar", "-"); len(tarred)%512 != 0 || !strings.HasPrefix(tarred, "mine-1/") {
		t.Errorf("%d bytes of a tar file", len(tarred))
	}

	if err := os.WriteFile("rows.csv", []byte("text,label\n"+strings.Repeat("so good,positive\n", 3)+"so bad,negative\nvery good,positive\nvery bad,negative\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var d struct{ ID string }
	if err := json.Unmarshal([]byte(c.must("", "datasets", "upload", "rows.csv", "--json")), &d); err != nil {
		t.Fatal(err)
	}
	sees("4 of 6 rows have nothing the matter", "datasets", "doctor", d.ID)
	sees("duplicate   2      2 (as 1), 3 (as 1)", "datasets", "doctor", d.ID)
	if err := json.Unmarshal([]byte(c.must("", "datasets", "clean", d.ID, "--name", "tidy", "--json")), &d); err != nil {
		t.Fatal(err)
	}
	sees("2 rows: duplicate 2", "datasets", "get", d.ID)
	sees(`"reasons":["duplicate"]`, "datasets", "quarantine", d.ID)
	tune := []string{"tune", "lora", "-m", "tiny", "-n", "gated", "-d", d.ID, "--validation", "0.5", "--max-steps", "1", "--gate", "eval_accuracy", "--gate-min-delta", "0.9"}
	sees("2 and 2 held back", append(tune, "--dry-run")...)
	sees("passed: eval_accuracy is", append(tune, "--wait")...)
	sees("held back: ", append(tune, "--wait")...)
	sees("held back: ", "adapters", "passport", "gated@2")
	if _, errOut, status := c.says("", append(tune, "--gate", "accuracy")...); status != 1 || !strings.Contains(errOut, "promote.if") {
		t.Errorf("a gate on no metric: %d %s", status, errOut)
	}
}

// A service does not take the variables of its clients for settings.
func TestTheClientsVariablesAreNoSettings(t *testing.T) {
	c := newConfig()
	cmd := command()
	if err := c.environment(cmd.Flags(), []string{"LORIKEET_URL=http://x", "LORIKEET_KEY=lk_x", "LORIKEET_CACERT=x"}); err != nil {
		t.Error(err)
	}
	for _, args := range [][]string{{"nope"}, {"jobs", "nope"}, {"predict", "--base", "x=y", "text"}, {"keys", "--slots"}} {
		cmd := command()
		cmd.SetOut(&bytes.Buffer{})
		cmd.SetArgs(args)
		if err := cmd.Execute(); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
	for _, args := range [][]string{{"--data", t.TempDir(), "keys", "list"}, {"keys", "list", "--data", t.TempDir()}, {"completion", "bash"}} { // settings may stand before the command
		t.Setenv("LORIKEET_LOG_LEVEL", "error")
		cmd := command()
		cmd.SetOut(&bytes.Buffer{})
		cmd.SetArgs(args)
		if err := cmd.Execute(); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}
