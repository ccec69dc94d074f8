package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// worker is our side of a case: it answers what it is asked.
type worker interface {
	versions() string
	answer(ctx context.Context, line []byte) (any, error)
	close()
}

// child is the program as one of the sides: see process.
func child(ctx context.Context, kind, text string) error {
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	var w worker
	var err error
	switch kind {
	case "engine":
		w, err = openEngine(ctx, s)
	case "train":
		w, err = openTrainer(ctx, s)
	case "tokenize":
		w, err = openTokenizer(s)
	default:
		err = fmt.Errorf("there is no kind %q", kind)
	}
	if err != nil {
		return err
	}
	defer w.close()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(object{"versions": w.versions()}); err != nil {
		return err
	}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer, err := w.answer(ctx, line)
		if err != nil {
			answer = object{"error": err.Error()}
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
}

// timed makes a call so often and gives the median of its seconds.
func timed(repeat int, call func() error) (float64, error) {
	seconds := make([]float64, 0, repeat)
	for range max(repeat, 1) {
		start := time.Now()
		if err := call(); err != nil {
			return 0, err
		}
		seconds = append(seconds, time.Since(start).Seconds())
	}
	return spreadOf(seconds).Median, nil
}
