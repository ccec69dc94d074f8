package queue

import (
	"errors"
	"testing"

	"lorikeet/adapters/store"
	"lorikeet/tuning"
)

func tenantQueue(t *testing.T, most int) *Queue {
	t.Helper()
	dir, err := store.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	q, err := Open(t.Context(), Options{Store: dir, JobsPerTenant: most})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

func tenantSpec(tenant, key string) tuning.Spec {
	return tuning.Spec{Kind: tuning.LoRA, Model: "bert", Name: "a", Tenant: tenant, IdempotencyKey: key}
}

func TestJobsOfATenantAreCounted(t *testing.T) {
	q := tenantQueue(t, 2)
	var jobs []tuning.Job
	for range 2 {
		j, _, err := q.Submit(t.Context(), tenantSpec("acme", ""), Inputs{})
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, j)
	}
	_, _, err := q.Submit(t.Context(), tenantSpec("acme", ""), Inputs{})
	if !errors.Is(err, tuning.ErrQuota) || errors.Is(err, tuning.ErrFull) {
		t.Errorf("the third: %v", err)
	}
	if _, _, err := q.Submit(t.Context(), tenantSpec("", ""), Inputs{}); err != nil {
		t.Errorf("another tenant's: %v", err)
	}
	if _, err := q.Pause(t.Context(), jobs[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := q.Submit(t.Context(), tenantSpec("acme", ""), Inputs{}); !errors.Is(err, tuning.ErrQuota) {
		t.Errorf("a paused job gives up its place: %v", err)
	}
	if _, err := q.Cancel(t.Context(), jobs[1].ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := q.Submit(t.Context(), tenantSpec("acme", ""), Inputs{}); err != nil {
		t.Errorf("after one was cancelled: %v", err)
	}
}

func TestAReplayTakesNoPlace(t *testing.T) {
	q := tenantQueue(t, 1)
	first, _, err := q.Submit(t.Context(), tenantSpec("acme", "k"), Inputs{})
	if err != nil {
		t.Fatal(err)
	}
	again, replayed, err := q.Submit(t.Context(), tenantSpec("acme", "k"), Inputs{})
	if err != nil || !replayed || again.ID != first.ID {
		t.Errorf("%s, %v, %v", again.ID, replayed, err)
	}
}

func TestTenantsDoNotShareIdempotencyKeys(t *testing.T) {
	q := tenantQueue(t, 0)
	ids := map[string]string{}
	for _, tenant := range []string{"", "acme", "other"} {
		j, replayed, err := q.Submit(t.Context(), tenantSpec(tenant, "k"), Inputs{})
		if err != nil || replayed {
			t.Fatalf("tenant %q: %v, %v", tenant, replayed, err)
		}
		if owner, ok := ids[j.ID]; ok {
			t.Errorf("%q and %q share %s", owner, tenant, j.ID)
		}
		ids[j.ID] = tenant
		if got, err := q.Tenant(t.Context(), j.ID); err != nil || got != tenant {
			t.Errorf("%s belongs to %q, %v", j.ID, got, err)
		}
		own, _, err := q.List(t.Context(), Filter{Tenant: &tenant})
		if err != nil || len(own) != 1 || own[0].ID != j.ID {
			t.Errorf("tenant %q has %v, %v", tenant, own, err)
		}
	}
	if all, _, err := q.List(t.Context(), Filter{}); err != nil || len(all) != 3 {
		t.Errorf("%d jobs in all, %v", len(all), err)
	}
	for id, tenant := range ids {
		if other := "nobody"; tenant != other {
			if _, _, err := q.List(t.Context(), Filter{Tenant: &other, After: id}); err == nil {
				t.Errorf("a page after %s tells that it exists", id)
			}
		}
	}
	for _, id := range []string{"", "job_x", "../x", newID("", "")} {
		if _, err := q.Tenant(t.Context(), id); !errors.Is(err, tuning.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}
