package store_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"lorikeet/adapters/store"
	"lorikeet/adapters/store/storetest"
)

// bucket is an S3 in this process, with faults on demand.
type bucket struct {
	url    string
	memory *s3mem.Backend
	mu     sync.Mutex
	fault  func(w http.ResponseWriter, r *http.Request, real http.Handler) bool // true: answered
	asked  atomic.Int64
}

func newBucket(t testing.TB) *bucket {
	b := &bucket{memory: s3mem.New()}
	if err := b.memory.CreateBucket("lorikeet"); err != nil {
		t.Fatal(err)
	}
	real := gofakes3.New(b.memory).Server()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked.Add(1)
		unframe(r)
		b.mu.Lock()
		fault := b.fault
		b.mu.Unlock()
		if fault == nil || !fault(w, r, real) {
			real.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	b.url = s.URL
	return b
}

// unframe takes the frames off a part that is signed piece by piece ("aws-chunked":
// length, signature, bytes): the bucket in memory does so for whole objects only.
func unframe(r *http.Request) {
	if !r.URL.Query().Has("uploadId") || !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return
	}
	framed := bufio.NewReader(r.Body)
	var data bytes.Buffer
	for {
		line, err := framed.ReadString('\n')
		length, _, _ := strings.Cut(line, ";")
		n, bad := strconv.ParseInt(strings.TrimSpace(length), 16, 64)
		if err != nil || bad != nil || n == 0 {
			break
		}
		_, _ = io.CopyN(&data, framed, n)
		_, _ = framed.Discard(len("\r\n"))
	}
	r.Body, r.ContentLength = io.NopCloser(&data), int64(data.Len())
	r.Header.Set("Content-Length", strconv.Itoa(data.Len()))
}

func (b *bucket) set(fault func(http.ResponseWriter, *http.Request, http.Handler) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = fault
}

// answers makes the next n requests of a method fail with a status, and the ones after
// that go through; n < 0: all.
func (b *bucket) answers(method string, status, n int, code string) {
	b.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != method || n == 0 {
			return false
		}
		n--
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as the test wants</Message></Error>", code)
		return true
	})
}

func (b *bucket) options(t testing.TB) store.S3Options {
	t.Helper()
	o, err := store.ParseS3("s3://lorikeet/one/place?region=us-east-1&endpoint=" + b.url)
	if err != nil {
		t.Fatal(err)
	}
	o.AccessKey, o.SecretKey, o.Cache = "key", "secret", t.TempDir()
	return o
}

func openS3(t testing.TB, o store.S3Options) *store.S3 {
	t.Helper()
	s, err := store.OpenS3(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestS3(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() storetest.Store {
		o := newBucket(t).options(t)
		return func() storetest.Store {
			o.Cache = t.TempDir() // as on another machine
			return openS3(t, o)
		}
	})
}

// A service that was not written for tests: that of LORIKEET_TEST_S3, an address as
// --store takes it, or a MinIO server on the path.
func TestS3OfARealServer(t *testing.T) {
	address, key, secret := os.Getenv("LORIKEET_TEST_S3"), os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	if address == "" {
		key, secret = "lorikeet", "lorikeet-secret"
		address = "s3://lorikeet?region=us-east-1&endpoint=" + startMinIO(t, key, secret)
	}
	n := 0
	storetest.Run(t, func(t *testing.T) func() storetest.Store {
		o, err := store.ParseS3(address)
		if err != nil {
			t.Fatal(err)
		}
		n++
		o.AccessKey, o.SecretKey, o.Prefix = key, secret, fmt.Sprintf("test-%d-%d", time.Now().UnixNano(), n)
		return func() storetest.Store {
			o.Cache = t.TempDir()
			return openS3(t, o)
		}
	})
}

func startMinIO(t *testing.T, key, secret string) string {
	path, err := exec.LookPath("minio")
	if err != nil {
		t.Skip("missing minio, and LORIKEET_TEST_S3 names no other server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "server", "--quiet", "--address", address, t.TempDir())
	cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+key, "MINIO_ROOT_PASSWORD="+secret, "MINIO_BROWSER=off")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	client, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(key, secret, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(50 * time.Millisecond) {
		if err = client.MakeBucket(t.Context(), "lorikeet", minio.MakeBucketOptions{}); err == nil {
			return "http://" + address
		}
	}
	t.Fatal(err)
	return ""
}

func TestAddressesOfBuckets(t *testing.T) {
	for _, c := range []struct{ address, bucket, prefix, endpoint, region, wrong string }{
		{address: "s3://models", bucket: "models"},
		{address: "s3://models/", bucket: "models"},
		{address: "s3://models/team-a/lorikeet?endpoint=http://127.0.0.1:9000&region=eu", bucket: "models", prefix: "team-a/lorikeet", endpoint: "http://127.0.0.1:9000", region: "eu"},
		{address: "http://models", wrong: "s3://bucket"},
		{address: "s3://key:secret@models", wrong: "AWS_ACCESS_KEY_ID"},
		{address: "s3://Models", wrong: "bucket"},
		{address: "s3://", wrong: "bucket"},
		{address: "s3://models/../x", wrong: "prefix"},
		{address: "s3://models/blobs", wrong: "reserved"},
		{address: "s3://models?endpoint=host:9000", wrong: "https://host:9000"},
		{address: "s3://models?endpoint=http://a&endpoint=http://b", wrong: "2 times"},
		{address: "s3://models?regoin=eu", wrong: "regoin"},
		{address: "s3://models?a=%zz", wrong: "query"},
	} {
		o, err := store.ParseS3(c.address)
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "secret@") {
				t.Errorf("%s: %v, want it to say %q", c.address, err, c.wrong)
			}
			continue
		}
		if err != nil || o.Bucket != c.bucket || o.Prefix != c.prefix || o.Endpoint != c.endpoint || o.Region != c.region {
			t.Errorf("%s: %+v, %v", c.address, o, err)
		}
	}
}

func FuzzParseS3(f *testing.F) {
	f.Add("s3://models/team-a?endpoint=http://127.0.0.1:9000&region=eu")
	f.Add("s3://key:secret@models")
	f.Fuzz(func(t *testing.T, address string) {
		o, err := store.ParseS3(address)
		if err == nil && (o.Bucket == "" || o.Prefix != "" && store.CheckKey(o.Prefix) != nil) {
			t.Errorf("%q: %+v", address, o)
		}
	})
}

// Without keys those of a profile are taken, or of the role of the machine that this runs
// on, which its metadata service knows.
func TestKeysOfARole(t *testing.T) {
	b := newBucket(t)
	var used atomic.Value
	b.set(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		used.Store(r.Header.Get("Authorization") + " " + r.Header.Get("X-Amz-Security-Token"))
		return false
	})
	machine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const at = "/latest/meta-data/iam/security-credentials/"
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			_, _ = io.WriteString(w, "token")
		case r.Header.Get("X-aws-ec2-metadata-token") != "token":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == at:
			_, _ = io.WriteString(w, "trainer")
		case r.URL.Path == at+"trainer":
			fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":"ROLEKEY","SecretAccessKey":"s","Token":"SESSION","Expiration":%q}`, time.Now().Add(time.Hour).Format(time.RFC3339))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(machine.Close)
	profile := filepath.Join(t.TempDir(), "credentials")
	for _, name := range []string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", profile)
	o := b.options(t)
	o.AccessKey, o.SecretKey, o.Metadata = "", "", machine.URL
	if err := openS3(t, o).Create(t.Context(), "a/b", nil); err != nil {
		t.Fatal(err)
	}
	if auth := used.Load().(string); !strings.Contains(auth, "Credential=ROLEKEY/") || !strings.Contains(auth, "SESSION") {
		t.Errorf("a role's request is signed with %s", auth)
	}
	none := o
	none.NoMetadata = true
	if _, err := store.OpenS3(t.Context(), none); err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("without keys: %v", err)
	}
	if err := os.WriteFile(profile, []byte("[default]\naws_access_key_id = FILEKEY\naws_secret_access_key = s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := openS3(t, o).Create(t.Context(), "a/c", nil); err != nil {
		t.Fatal(err)
	}
	if auth := used.Load().(string); !strings.Contains(auth, "Credential=FILEKEY/") {
		t.Errorf("a profile's request is signed with %s", auth)
	}
}

func TestAServiceThatIgnoresConditionsIsRefused(t *testing.T) {
	b := newBucket(t)
	b.set(func(w http.ResponseWriter, r *http.Request, real http.Handler) bool {
		r.Header.Del("If-None-Match")
		real.ServeHTTP(w, r)
		return true
	})
	_, err := store.OpenS3(t.Context(), b.options(t))
	if err == nil || !strings.Contains(err.Error(), "If-None-Match") {
		t.Errorf("got %v", err)
	}
}

func TestACreateWhoseAnswerIsLostWinsWhenItWasFirst(t *testing.T) {
	ctx := t.Context()
	b := newBucket(t)
	s := openS3(t, b.options(t))
	lost := 0
	lose := func(w http.ResponseWriter, r *http.Request, real http.Handler) bool {
		if r.Method != http.MethodPut || lost > 0 {
			return false
		}
		lost++
		real.ServeHTTP(httptest.NewRecorder(), r)
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	b.set(lose)
	if err := s.Create(ctx, "a", []byte("mine")); err != nil || lost != 1 {
		t.Errorf("first: %v, %d answers lost", err, lost)
	}
	lost = 0
	if err := s.Create(ctx, "a", []byte("mine")); !errors.Is(err, store.ErrExists) || lost != 1 {
		t.Errorf("second: %v, %d answers lost", err, lost)
	}
}

func TestWhatABucketAnswersIsToldApart(t *testing.T) {
	ctx := t.Context()
	b := newBucket(t)
	s := openS3(t, b.options(t))
	create := func() error { return s.Create(ctx, "k", nil) }
	blob := func() error { _, _, err := s.PutBlob(ctx, strings.NewReader("x")); return err }
	get := func() error { _, err := s.Get(ctx, "k"); return err }
	list := func() error { _, err := s.List(ctx, "jobs/"); return err }
	for _, c := range []struct {
		name   string
		method string
		status int
		code   string
		do     func() error
		want   error
	}{
		{"a full disk", "PUT", 507, "XMinioStorageFull", create, store.ErrNoSpace},
		{"a full disk, for a blob", "PUT", 507, "XMinioStorageFull", blob, store.ErrNoSpace},
		{"a quota", "PUT", 400, "XMinioAdminBucketQuotaExceeded", blob, store.ErrNoSpace},
		{"keys that may not write", "PUT", 403, "AccessDenied", create, store.ErrDenied},
		{"keys that may not read", "GET", 403, "AccessDenied", get, store.ErrDenied},
		{"keys that may not list", "GET", 403, "AccessDenied", list, store.ErrDenied},
		{"keys that are wrong", "PUT", 403, "InvalidAccessKeyId", blob, store.ErrDenied},
		{"no such bucket", "PUT", 404, "NoSuchBucket", create, store.ErrUnavailable},
		{"a request the service does not know", "PUT", 501, "NotImplemented", create, store.ErrUnavailable},
	} {
		b.answers(c.method, c.status, -1, c.code)
		if err := c.do(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	b.answers("PUT", 409, 3, "ConditionalRequestConflict")
	if err := s.Create(ctx, "conflict", []byte("x")); err != nil {
		t.Errorf("a conflict that passes: %v", err)
	}
	b.answers("PUT", 503, 2, "SlowDown")
	if err := s.Create(ctx, "slow", []byte("x")); err != nil {
		t.Errorf("a service that is slow twice: %v", err)
	}
	b.set(nil)
	if keys, err := s.List(ctx, ""); err != nil || strings.Join(keys, " ") != "conflict slow" {
		t.Errorf("records %q, %v", keys, err)
	}
}

func TestABucketThatIsAwayIsUnavailable(t *testing.T) {
	o := newBucket(t).options(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Endpoint = "http://" + l.Addr().String()
	_ = l.Close()
	if _, err := store.OpenS3(t.Context(), o); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestWhatRotsInABucketIsReportedAndMended(t *testing.T) {
	ctx := t.Context()
	b := newBucket(t)
	o := b.options(t)
	s := openS3(t, o)
	digest, _, err := s.PutBlob(ctx, strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Create(ctx, "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	rot := func(object, with string) {
		t.Helper()
		if _, err := b.memory.PutObject("lorikeet", object, map[string]string{}, strings.NewReader(with), int64(len(with)), nil); err != nil {
			t.Fatal(err)
		}
	}
	sum := strings.TrimPrefix(digest, "sha256:")
	rot("one/place/blobs/sha256/"+sum[:2]+"/"+sum, "jello")
	rot("one/place/k", "v\nsha256:00\n")
	if _, err := s.Get(ctx, "k"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("record: %v", err)
	}
	if err := s.VerifyBlob(ctx, digest); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("verify: %v", err)
	}
	o.Cache = t.TempDir()
	other := openS3(t, o)
	if _, err := other.OpenBlob(ctx, digest); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("open: %v", err)
	}
	if _, err := other.Fetch(ctx, digest, io.Discard); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("fetch: %v", err)
	}
	if _, _, err := s.PutBlob(ctx, strings.NewReader("hello")); err != nil {
		t.Fatal(err)
	}
	var w bytes.Buffer
	if _, err := other.Fetch(ctx, digest, &w); err != nil || w.String() != "hello" {
		t.Errorf("mended: %q, %v", w.String(), err)
	}
}

func TestABlobIsDownloadedOnce(t *testing.T) {
	ctx := t.Context()
	b := newBucket(t)
	o := b.options(t)
	digest, _, err := openS3(t, o).PutBlob(ctx, strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	o.Cache = t.TempDir()
	s := openS3(t, o)
	read := func(s *store.S3) {
		blob, err := s.OpenBlob(ctx, digest)
		if err != nil {
			t.Error(err)
			return
		}
		defer blob.Close()
		if all, err := io.ReadAll(blob); err != nil || string(all) != "hello" || blob.Size() != 5 {
			t.Errorf("read %q, %v", all, err)
		}
	}
	before := b.asked.Load()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { read(s) })
	}
	wg.Wait()
	if n := b.asked.Load() - before; n != 1 {
		t.Errorf("%d requests for one blob", n)
	}
	// A copy that was cut off by a crash is not taken for the blob.
	copied := filepath.Join(o.Cache, strings.TrimPrefix(digest, "sha256:"))
	if err := os.WriteFile(copied, []byte("hel"), 0o600); err != nil {
		t.Fatal(err)
	}
	before = b.asked.Load()
	read(openS3(t, o))
	read(openS3(t, o))
	if n := b.asked.Load() - before; n != 1+2*1 { // a probe each, one download
		t.Errorf("%d requests", n)
	}
}

func TestABlobOfSeveralPartsIsWhole(t *testing.T) {
	o := newBucket(t).options(t)
	data := bytes.Repeat([]byte("0123456789abcde\n"), 18<<20/16) // parts are of 16 MiB
	digest, size, err := openS3(t, o).PutBlob(t.Context(), bytes.NewReader(data))
	if err != nil || size != int64(len(data)) {
		t.Fatal(size, err)
	}
	if err := openS3(t, o).VerifyBlob(t.Context(), digest); err != nil {
		t.Error(err)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	ctx := t.Context()
	o := newBucket(t).options(t)
	o.CacheBytes = 100
	s := openS3(t, o)
	var digests []string
	for i := range 5 {
		digest, _, err := s.PutBlob(ctx, strings.NewReader(strings.Repeat(fmt.Sprint(i), 40)))
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest)
	}
	big, _, err := s.PutBlob(ctx, strings.NewReader(strings.Repeat("x", 1000)))
	if err != nil {
		t.Fatal(err)
	}
	for _, digest := range append(digests, big) {
		if _, err := s.Fetch(ctx, digest, io.Discard); err != nil {
			t.Errorf("%s: %v", digest, err)
		}
		var size int64
		entries, err := os.ReadDir(o.Cache)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
				size += info.Size()
			}
		}
		if size > o.CacheBytes {
			t.Errorf("%d bytes are kept, of %d", size, o.CacheBytes)
		}
	}
}
