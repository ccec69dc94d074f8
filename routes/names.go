package routes

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
)

// checkRef reports what is wrong with the form of "name" or "name@3" in a field.
// Whether it exists is for the registry to say.
func checkRef(field, ref string) error {
	name, version, versioned := strings.Cut(ref, "@")
	err := adapters.CheckName(field, brief(name))
	if versioned {
		if n, bad := strconv.Atoi(version); bad != nil || n < 1 {
			err = errors.Join(err, invalid.Field(field, "the version in %q must be a number from 1", brief(ref)))
		}
	}
	return err
}

// checkName and checkVersion refuse, in a path, what cannot name anything.
func checkName(name string) error {
	if adapters.CheckName("name", name) != nil {
		return fmt.Errorf("%w: %q is not even a name", adapters.ErrNotFound, brief(name))
	}
	return nil
}

func checkVersion(name string, version int) error {
	if err := checkName(name); err != nil {
		return err
	}
	if version < 1 {
		return invalid.Field("version", "must be at least 1, not %d", version)
	}
	return nil
}

// ginPath writes a path of the table, "/a/{b}", the way gin wants it, "/a/:b".
func ginPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}
