package inference

import (
	"slices"
	"testing"

	"lorikeet/adapters"
	"lorikeet/inference/prompt"
)

func TestTemplatesOfAModel(t *testing.T) {
	chat := &Base{Chat: prompt.NewChat("{{ messages }}", nil)}
	for name, c := range map[string]struct {
		model served
		want  []string
	}{
		"are all but chat for a base without one": {served{base: &Base{}}, []string{"plain", "t5", "alpaca"}},
		"begin with the base's own chat template": {served{base: chat}, []string{"chat", "plain", "t5", "alpaca"}},
		"begin with the one a variant was taught": {served{base: chat, version: &adapters.Version{Template: "alpaca"}}, []string{"alpaca", "plain", "t5", "chat"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.model.templates(); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
