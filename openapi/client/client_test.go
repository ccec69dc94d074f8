package client_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"lorikeet/openapi"
	"lorikeet/openapi/client"
)

// The committed client is what the generator makes of the document.
func TestClientIsFresh(t *testing.T) {
	source, err := os.ReadFile("generate.go")
	if err != nil {
		t.Fatal(err)
	}
	tool := regexp.MustCompile(`"(github\.com/oapi-codegen/\S+@v[0-9.]+)"`).FindSubmatch(source)
	if tool == nil {
		t.Fatal("generate.go names no generator")
	}
	// go test remembers a result until a file changes that the test has read, or a package
	// that it is built of: the document is one of these.
	if _, err := openapi.JSON(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile("oapi-codegen.yaml"); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "run", string(tool[1]), "--version").CombinedOutput(); err != nil {
		t.Skipf("missing %s: %v: %s", tool[1], err, out)
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "run", "generate.go", dir).CombinedOutput(); err != nil {
		t.Fatalf("generate: %v: %s", err, out)
	}
	fresh, err := os.ReadFile(filepath.Join(dir, "client.gen.go"))
	if err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile("client.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(fresh, committed) {
		t.Error("client.gen.go is not what the document says; run go generate ./openapi/client")
	}
}

func TestClientReadsAnswersAndProblems(t *testing.T) {
	var sent map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
			t.Error(err)
		}
		if sent["adapter"] == "nobody" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"type":"about:blank","title":"Adapter not found","status":404,"detail":"no","code":"adapter_not_found","request_id":"r","errors":[],"error":{"message":"no","type":"invalid_request_error","code":"adapter_not_found"}}`))
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write([]byte(`{"model":"bert","adapter":null,"results":[{"label":"positive","index":1,"score":0.9,"scores":[]}],"usage":{"input_tokens":3},"timings":{"queue_ms":0,"inference_ms":1}}`))
	}))
	defer server.Close()
	c, err := client.NewClientWithResponses(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	var inputs client.PredictRequest_Inputs
	if err := inputs.FromPredictRequestInputs0("good"); err != nil {
		t.Fatal(err)
	}
	answer, err := c.PredictWithResponse(t.Context(), nil, client.PredictRequest{Inputs: inputs})
	if err != nil || answer.JSON200 == nil || *answer.JSON200.Results[0].Label != "positive" || answer.JSON200.Adapter != nil || sent["inputs"] != "good" || len(sent) != 1 {
		t.Errorf("answered %+v, %v; sent %v", answer, err, sent)
	}
	answer, err = c.PredictWithResponse(t.Context(), nil, client.PredictRequest{Inputs: inputs, Adapter: new("nobody")})
	if err != nil || answer.ApplicationproblemJSONDefault == nil || answer.ApplicationproblemJSONDefault.Code != "adapter_not_found" {
		t.Errorf("a problem is %+v, %v", answer, err)
	}
}
