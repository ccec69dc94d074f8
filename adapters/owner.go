package adapters

import (
	"context"
	"errors"
	"fmt"

	"lorikeet/adapters/invalid"
)

// Owns reports whether a tenant may add to a name or change it. A name is its first
// registrant's until the last of its versions is deleted; a new one is anybody's. The
// error is an ErrOwner that holds a fault: trying again will not help.
func (r *Registry) Owns(ctx context.Context, tenant, name string) error {
	s, err := r.Get(ctx, name)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrName) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, v := range s.Versions {
		if v.Tenant != tenant {
			return fmt.Errorf("%w: %w", ErrOwner, invalid.Field("name", "%q belongs to another tenant; choose another name", name))
		}
	}
	return nil
}
