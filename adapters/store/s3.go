package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Options say where a store in a bucket is. See [ParseS3].
type S3Options struct {
	Bucket string
	Prefix string // of all keys, without slashes around it; may be empty
	// Endpoint is the URL of the service, of which the path is ignored; empty:
	// Amazon's, by the region. A plain http: URL is taken at its word.
	Endpoint string
	Region   string // empty: the client library finds it out

	// Credentials. Without keys those of a profile, or of the role of this container or
	// machine, are used, which the client library finds by the variables of Amazon's tools.
	AccessKey, SecretKey, SessionToken string

	// Where there is no AccessKey, who knows the keys of this machine's role; empty: the
	// address that EC2 has for it.
	Metadata   string
	NoMetadata bool // do not ask there

	// Cache is a folder for copies of blobs; processes of one machine may share it.
	Cache      string
	CacheBytes int64 // how much is kept there between uses; 10 GiB when zero

	Transport http.RoundTripper // nil: the client library's
}

const defaultCache = 10 << 30 // bytes

var bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// ParseS3 reads s3://bucket/prefix?endpoint=https://host:port&region=name, where all
// after the bucket may be missing. Credentials have no place in it.
func ParseS3(address string) (S3Options, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "s3" {
		return S3Options{}, errors.New("not an address such as s3://bucket/prefix?endpoint=https://host:9000&region=name")
	}
	if u.User != nil {
		return S3Options{}, errors.New("keys do not belong in the address: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	o := S3Options{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	if !bucketPattern.MatchString(o.Bucket) {
		return o, fmt.Errorf("%q is no name of a bucket: 3 to 63 lower-case letters, digits, '.' and '-'", clip(o.Bucket))
	}
	if o.Prefix != "" {
		if err := CheckKey(o.Prefix); err != nil {
			return o, fmt.Errorf("prefix: %w", err)
		}
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return o, fmt.Errorf("query: %w", err)
	}
	for name, values := range query {
		if len(values) != 1 {
			return o, fmt.Errorf("%q is given %d times", clip(name), len(values))
		}
		switch name {
		case "endpoint":
			o.Endpoint = values[0]
		case "region":
			o.Region = values[0]
		default:
			return o, fmt.Errorf("unknown parameter %q; there are endpoint and region", clip(name))
		}
	}
	_, _, err = o.host()
	return o, err
}

// host is what the client library wants of the endpoint.
func (o S3Options) host() (host string, secure bool, err error) {
	if o.Endpoint == "" {
		return "s3.amazonaws.com", true, nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return "", false, fmt.Errorf("endpoint %q is not a URL such as https://host:9000", clip(o.Endpoint))
	}
	return u.Host, u.Scheme == "https", nil
}

// metadataTime is how long the metadata service of a machine may take for one answer: it
// is on the machine, or there is none.
const metadataTime = 3 * time.Second

// credentials are the keys given, or else those of the profile in the files that Amazon's
// tools read, or else those of the role of this container or machine, renewed in time.
func (o S3Options) credentials() (*credentials.Credentials, error) {
	if o.AccessKey != "" {
		return credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken), nil
	}
	sources := []credentials.Provider{&credentials.FileAWSCredentials{}}
	if !o.NoMetadata {
		sources = append(sources, &credentials.IAM{Endpoint: o.Metadata, Client: &http.Client{Timeout: metadataTime, Transport: &http.Transport{}}})
	}
	c := credentials.NewChainCredentials(sources)
	v, err := c.GetWithContext(nil)
	if err == nil && v.AccessKeyID == "" {
		err = errNoKeys
	}
	return c, err
}

var errNoKeys = errors.New("the bucket needs keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE of a credentials file, or run where there is a role (of an EC2 instance, an ECS or EKS container)")

// S3 is a store in a bucket of Amazon S3, or of another service that puts an object
// with "If-None-Match: *" only when there is none. It is safe for concurrent use, and
// any number of processes on any number of machines may share one. What it reads of
// blobs it keeps on a local disk.
type S3 struct {
	client *minio.Core
	bucket string
	prefix string // of keys; empty or ending with a slash
	cache  *cache
}

// attempts is how often a request is made that fails for a reason that may pass. The
// client library waits up to a second between them.
const attempts = 5

// OpenS3 opens the store in a bucket, which must exist. It writes an object twice to
// find out at start that the service does not ignore the condition that records rest on.
func OpenS3(ctx context.Context, o S3Options) (*S3, error) {
	host, secure, err := o.host()
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	creds, err := o.credentials()
	if err != nil {
		return nil, fmt.Errorf("store s3://%s/%s: %w", o.Bucket, o.Prefix, err)
	}
	client, err := minio.NewCore(host, &minio.Options{
		Creds: creds, Secure: secure, Region: o.Region, Transport: o.Transport, MaxRetries: attempts,
	})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	client.SetAppInfo("lorikeet", "1")
	s := &S3{client: client, bucket: o.Bucket}
	if o.Prefix != "" {
		s.prefix = o.Prefix + "/"
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCache
	}
	if s.cache, err = openCache(o.Cache, o.CacheBytes); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := s.probe(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("store s3://%s/%s: %w", o.Bucket, o.Prefix, err), s.Close())
	}
	return s, nil
}

// Close gives up the store's temporary files. What is cached stays.
func (s *S3) Close() error { return s.cache.close() }

// probe finds out that a service ignores conditions: two workers would then both
// believe that they decided a job.
func (s *S3) probe(ctx context.Context) error {
	key := s.prefix + tempFolder + "/conditional-writes"
	for range 2 {
		err := s.put(ctx, key, []byte("a store writes this twice, and the second time must fail\n"), rand.Text())
		switch {
		case errors.Is(err, errPrecondition):
			return nil
		case err != nil:
			return err
		}
	}
	return errors.New(`the service ignores "If-None-Match: *", which records need; MinIO, Ceph, R2 and Amazon S3 heed it`)
}

// s3Error tells the errors apart that callers act on.
func s3Error(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	r := minio.ToErrorResponse(err)
	switch {
	case r.Code == "NoSuchKey", r.Code == "NotFound":
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case r.StatusCode == http.StatusPreconditionFailed, r.Code == "PreconditionFailed":
		return fmt.Errorf("%w: %w", errPrecondition, err)
	case r.StatusCode == http.StatusConflict:
		return fmt.Errorf("%w: %w", errConflict, err)
	case r.StatusCode == http.StatusInsufficientStorage, strings.Contains(r.Code, "Quota"), strings.Contains(r.Code, "StorageFull"):
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	case r.StatusCode == http.StatusForbidden, r.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	// No such bucket, a server's error that stayed, or no server at all.
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

var (
	errPrecondition = errors.New("the object exists")
	errConflict     = errors.New("another request for the object is under way")
)
