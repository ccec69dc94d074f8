package main

import (
	"archive/tar"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"lorikeet/inference/inferencetest"
)

// tour is a service with one tiny base that is ready to be asked, and two adapters
// brought along.
func tour(t *testing.T) (c client, dir string) {
	t.Helper()
	dir = inferencetest.BERT(t, "negative", "positive")
	c, _ = launch(t, "--base", "tiny="+dir, "--data", t.TempDir())
	base := inferencetest.Base(t, "tiny", dir)
	for seed, name := range []string{"mine", "yours"} {
		config, weights := inferencetest.Adapter(t, base, uint64(seed)+1, 4, "x", "y", "z")
		c.upload(201, "/adapters", map[string]string{"name": name}, map[string][]byte{"adapter_config.json": config, "adapter_model.safetensors": weights})
	}
	return c, dir
}

// results are the results of a prediction.
func results(t *testing.T, answer map[string]any) []map[string]any {
	t.Helper()
	list, _ := answer["results"].([]any)
	out := make([]map[string]any, len(list))
	for i := range list {
		out[i] = list[i].(map[string]any)
	}
	return out
}

// TestBeyond goes through what no other server has, as a user would with curl.
func TestBeyond(t *testing.T) {
	c, _ := tour(t)
	t.Run("one text asks many adapters", func(t *testing.T) {
		c := client{t: t, url: c.url, http: c.http}
		all := results(t, c.call(200, "POST", "/predict", map[string]any{"inputs": "the movie was great", "fan_out": []any{"mine", "yours", nil}}))
		for i, name := range []any{"mine@1", "yours@1", nil} {
			if all[i]["adapter"] != name || all[i]["input"] != 0.0 {
				t.Errorf("result %d is %v, want %v's", i, all[i], name)
			}
		}
		if all[0]["score"] == all[1]["score"] {
			t.Error("two adapters give one score")
		}
	})
	t.Run("adapters are merged", func(t *testing.T) {
		c := client{t: t, url: c.url, http: c.http}
		parts := []map[string]any{{"adapter": "mine", "weight": 0.5}, {"adapter": "yours@1", "weight": 0.5}}
		v := c.call(201, "POST", "/adapters/merge", map[string]any{"name": "both", "adapters": parts, "method": "cat"})
		p := c.call(200, "GET", "/adapters/both/versions/1/passport", nil)
		if merged := p["merged"].(map[string]any); v["rank"] != 8.0 || merged["method"] != "cat" || len(merged["adapters"].([]any)) != 2 || p["source"] != "merge:mine@1+yours@1" {
			t.Errorf("%v, %v", v, p)
		}
		for _, method := range []string{"linear", "ties", "dare_linear", "dare_ties", "svd", "ties_svd"} {
			c.call(201, "POST", "/adapters/merge", map[string]any{"name": "both", "adapters": parts, "method": method})
		}
		c.call(200, "POST", "/predict", map[string]any{"inputs": "good", "fan_out": []string{"both@1", "both@2", "both@3", "both@4", "both"}})
		// What was put side by side is made thin again: of a rank that holds all of it, it answers the same.
		c.call(201, "POST", "/adapters/merge", map[string]any{"name": "again", "adapters": parts, "method": "svd", "svd_rank": 8})
		same := results(t, c.call(200, "POST", "/predict", map[string]any{"inputs": "the movie was great", "fan_out": []string{"both@1", "again@1"}}))
		if a, b := same[0]["score"].(float64), same[1]["score"].(float64); math.Abs(a-b) > 1e-5 {
			t.Errorf("cat answers %v, svd of the same rank %v", a, b)
		}
		c.call(422, "POST", "/adapters/merge", map[string]any{"name": "both", "adapters": parts[:1]})
	})
	t.Run("a version is taken along merged", func(t *testing.T) {
		res, err := c.http.Get(c.url + "/adapters/mine/versions/1/merged")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		var names []string
		for r := tar.NewReader(res.Body); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, h.Name)
		}
		if all := strings.Join(names, " "); res.StatusCode != 200 || !strings.Contains(all, "mine-1/config.json") || !strings.HasSuffix(all, "mine-1/model.safetensors") {
			t.Errorf("%d: %s", res.StatusCode, all)
		}
	})
	t.Run("traffic is split", func(t *testing.T) {
		c := client{t: t, url: c.url, http: c.http}
		c.call(200, "POST", "/adapters/mine/traffic", map[string]any{"versions": map[string]int{"1": 1}})
		if a := c.call(200, "POST", "/predict", map[string]any{"adapter": "mine", "inputs": "good"}); a["adapter"].(map[string]any)["version"] != 1.0 {
			t.Errorf("%v", a)
		}
	})
	t.Run("a data set is examined, cleaned and tuned on", func(t *testing.T) {
		c := client{t: t, url: c.url, http: c.http}
		set := c.upload(201, "/datasets", nil, map[string][]byte{"file": []byte("text,label\n" + strings.Repeat("so good,positive\n", 3) + "so bad,negative\nvery good,positive\nvery bad,negative\n")})
		if e := c.call(200, "GET", fmt.Sprint("/datasets/", set["id"], "/doctor"), nil); e["sound_rows"] != 4.0 {
			t.Errorf("examined, it is %v", e)
		}
		clean := c.call(201, "POST", fmt.Sprint("/datasets/", set["id"], "/clean"), map[string]any{})
		plan := c.call(200, "POST", "/tune/lora?dry_run=true", map[string]any{"model": "tiny", "name": "clean", "dataset": map[string]any{"id": clean["id"]}})
		if plan["rows"] != 4.0 || plan["truncated_percent"] != 0.0 {
			t.Errorf("the plan is %v", plan)
		}
	})
}
