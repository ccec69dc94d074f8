package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

var errNoText = errors.New("there is no text: give it as an argument, in a file (--file), or on standard input")

// longestLine bounds a text of a file.
const longestLine = 16 << 20

// open opens the file that --file names, or standard input: for "-", or where neither
// texts nor a file are given and nobody sits at it.
func open(file string, in io.Reader) (io.Reader, func(), error) {
	none := func() {}
	if file == "-" {
		return in, none, nil
	}
	if file == "" {
		if _, person := terminal(in); person {
			return nil, none, misuse(errNoText)
		}
		return in, none, nil
	}
	f, err := os.Open(file) // #nosec G304 -- the file that the user names
	if err != nil {
		return nil, none, err
	}
	return f, func() { _ = f.Close() }, nil // read only
}

// texts are the arguments, else the lines of the file or of standard input that are not
// empty.
func texts(args []string, file string, in io.Reader) ([]string, error) {
	if len(args) > 0 {
		if file != "" {
			return nil, misuse(errors.New("give texts as arguments or in a file, not both"))
		}
		return args, nil
	}
	r, done, err := open(file, in)
	if err != nil {
		return nil, err
	}
	defer done()
	var all []string
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longestLine)
	for lines.Scan() {
		if line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\uFEFF")); line != "" {
			all = append(all, line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read texts: %w", err)
	}
	if len(all) == 0 {
		return nil, misuse(errNoText)
	}
	return all, nil
}

// whole is the one text of an argument, else all of the file or of standard input without
// the line break at its end.
func whole(args []string, file string, in io.Reader) (string, error) {
	if len(args) > 0 {
		if file != "" {
			return "", misuse(errors.New("give the text as an argument or in a file, not both"))
		}
		return strings.Join(args, " "), nil
	}
	r, done, err := open(file, in)
	if err != nil {
		return "", err
	}
	defer done()
	text, err := io.ReadAll(io.LimitReader(r, longestLine+1))
	if err == nil && len(text) > longestLine {
		err = fmt.Errorf("the text is longer than %d MiB", longestLine>>20)
	}
	return strings.TrimRight(string(text), "\r\n"), err
}
