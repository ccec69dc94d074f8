package main

import (
	"bytes"
	"os"
	"testing"
)

func TestThePageIsTheSpecification(t *testing.T) {
	var want bytes.Buffer
	if err := write(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/API.md is not what the specification says: go run ./openapi/reference >docs/API.md")
	}
}
