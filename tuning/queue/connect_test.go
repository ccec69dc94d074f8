package queue

import (
	"strings"
	"testing"
)

// FuzzConnect: an address is taken or refused, and a password in it is not repeated.
func FuzzConnect(f *testing.F) {
	for _, seed := range []string{"redis://user:hunter2hunter2@host:6379/0", "rediss://:hunter2hunter2@host/3?skip_verify=true", "unix:///run/redis.sock?db=2",
		"redis+sentinel://:hunter2hunter2@host:26379/0?master_name=queue&addr=host2:26379", "redis+cluster://host:6379?addr=host2:6379", "redis://host:x", "http://host", "redis+x://",
		"+hunter2hunter2@://0", "redis://:hunter2hunter2@/@host", "redis://:hunter2hunter2/hunter2hunter2@host", "redis://host/hunter2hunter2@", "redis://host?hunter2hunter2@=1", "redis://host?db=hunter2hunter2@",
		"redis://host?read_timeout=hunter2hunter2@", "redis+sentinel://host?hunter2hunter2@", "redis+cluster://host?addr=hunter2hunter2@", "hunter2hunter2@://host", "redis://[hunter2hunter2@", "redis://host/%zzhunter2hunter2@"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		rdb, err := Connect(address)
		if err == nil {
			_ = rdb.Close()
			return
		}
		if strings.Contains(address, "hunter2hunter2@") && strings.Contains(err.Error(), "hunter2hunter2") {
			t.Errorf("%q: %v", address, err)
		}
	})
}
