//go:build ignore

// Makes the Go client of the specification: go run generate.go FOLDER.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"lorikeet/openapi"
)

const generator = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"

func main() {
	if err := generate(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func generate(folder string) error {
	text, err := openapi.JSON(nil)
	if err != nil {
		return err
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		return err
	}
	// Errors all have one body: that of "default" stands for all, and keeps the client to
	// half its size.
	for _, item := range doc["paths"].(map[string]any) {
		for _, op := range item.(map[string]any) {
			answers := op.(map[string]any)["responses"].(map[string]any)
			for status := range answers {
				if status[0] >= '4' && status[0] <= '5' {
					delete(answers, status)
				}
			}
		}
	}
	if text, err = json.Marshal(doc); err != nil {
		return err
	}
	f, err := os.CreateTemp("", "openapi-*.json")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	run := exec.Command("go", "run", generator, "-config", "oapi-codegen.yaml", "-o", filepath.Join(folder, "client.gen.go"), f.Name())
	run.Stdout, run.Stderr = os.Stdout, os.Stderr
	return run.Run()
}
