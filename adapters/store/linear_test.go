package store_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"lorikeet/adapters/store"
)

// action is what a caller asks of one key.
type action struct{ what, key, data string }

// answer of an action. Unknown: the answer was lost, it may have been done or not.
type answer struct {
	data    string
	err     error
	unknown bool
}

// records is the model: a key has the bytes of its first writer since it was last deleted;
// "" is none.
var records = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		of := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(action).key
			of[key] = append(of[key], o)
		}
		var parts [][]porcupine.Operation
		for _, p := range of {
			parts = append(parts, p)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		is, in, out := state.(string), input.(action), output.(answer)
		switch in.what {
		case "create":
			if is != "" { // an unknown one was not done
				return out.unknown || errors.Is(out.err, store.ErrExists), is
			}
			return out.unknown || out.err == nil, in.data
		case "delete":
			return out.unknown || out.err == nil, ""
		}
		if is == "" {
			return errors.Is(out.err, store.ErrNotFound), is
		}
		return out.err == nil && out.data == is, is
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
}

type recordStore interface {
	Create(ctx context.Context, key string, data []byte) error
	Get(ctx context.Context, key string) ([]byte, error)
	Delete(ctx context.Context, key string) error
}

// linear has callers, each with a handle of its own, do random things to few keys at once,
// and checks that what they were told has an order in which it makes sense.
func linear(t *testing.T, handles []recordStore, keys, each int, what ...string) {
	t.Helper()
	var (
		mu      sync.Mutex
		history []porcupine.Operation
		clock   atomic.Int64
		wg      sync.WaitGroup
	)
	for who, s := range handles {
		rnd := rand.New(rand.NewPCG(uint64(who), 1))
		wg.Go(func() {
			for n := range each {
				a := action{what: what[rnd.IntN(len(what))],
					key: fmt.Sprintf("a/%d/record", rnd.IntN(keys)), data: fmt.Sprintf("%d-%d", who, n)}
				o := porcupine.Operation{ClientId: who, Input: a, Call: clock.Add(1)}
				out := answer{}
				switch a.what {
				case "create":
					out.err = s.Create(t.Context(), a.key, []byte(a.data))
				case "delete":
					out.err = s.Delete(t.Context(), a.key)
				case "get":
					var data []byte
					data, out.err = s.Get(t.Context(), a.key)
					out.data = string(data)
				}
				o.Return = clock.Add(1)
				if errors.Is(out.err, store.ErrUnavailable) {
					if a.what == "get" {
						continue
					}
					o.Return, out.unknown = math.MaxInt64, true
				}
				o.Output = out
				if err := out.err; err != nil && !out.unknown && !errors.Is(err, store.ErrExists) && !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s: %v", a.what, err)
				}
				mu.Lock()
				history = append(history, o)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	switch result := porcupine.CheckOperationsTimeout(records, history, 20*time.Second); result {
	case porcupine.Ok:
	case porcupine.Unknown:
		t.Logf("%d operations are too many to be checked in time", len(history))
	default:
		t.Errorf("%d operations have no order in which they make sense", len(history))
	}
}

func TestRecordsOfAFolderAreLinearizable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var handles []recordStore
	for range 6 {
		d, err := store.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		handles = append(handles, d)
	}
	linear(t, handles, 2, 60, "create", "create", "get", "get", "delete")
}

// Of the requests to the bucket some fail before they are done and some after. A request
// that is sent again is then done twice, which no one can tell of a create, as long as
// nobody deletes in between: the protocol never makes a record anew that it deleted.
func TestRecordsOfABucketAreLinearizable(t *testing.T) {
	t.Parallel()
	for _, faults := range []bool{false, true} {
		t.Run(fmt.Sprintf("with faults %v", faults), func(t *testing.T) {
			b := newBucket(t)
			var handles []recordStore
			for range 6 {
				o := b.options(t)
				if faults {
					o.Transport = &unreliable{http.DefaultTransport.(*http.Transport).Clone()}
				}
				handles = append(handles, openS3(t, o))
			}
			if faults {
				linear(t, handles, 12, 15, "create", "create", "get")
			} else {
				linear(t, handles, 2, 60, "create", "create", "get", "get", "delete")
			}
		})
	}
}

// unreliable loses answers of what was done, and requests before they are.
type unreliable struct{ http.RoundTripper }

var errLost = errors.New("the line is bad")

func (u *unreliable) RoundTrip(r *http.Request) (*http.Response, error) {
	chance := rand.IntN(8)
	if chance == 0 {
		return nil, errLost
	}
	resp, err := u.RoundTripper.RoundTrip(r)
	if chance == 1 && err == nil {
		_ = resp.Body.Close()
		return nil, errLost
	}
	return resp, err
}
