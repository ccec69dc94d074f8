package adapters

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"

	"lorikeet/adapters/invalid"
)

// Config is adapter_config.json: PEFT's LoraConfig, with its names. Fields that
// cannot be served are read all the same, so that they can be refused by name.
type Config struct {
	PeftType      string            `json:"peft_type"`
	TaskType      *string           `json:"task_type"`
	BaseModel     string            `json:"base_model_name_or_path"`
	Revision      *string           `json:"revision"`
	R             int               `json:"r"`
	Alpha         float64           `json:"lora_alpha"`
	Dropout       float64           `json:"lora_dropout"`
	Targets       Names             `json:"target_modules"`
	Exclude       Names             `json:"exclude_modules"`
	Layers        Indexes           `json:"layers_to_transform"`
	LayersPattern Names             `json:"layers_pattern"`
	RankPattern   Patterns[int]     `json:"rank_pattern"`
	AlphaPattern  Patterns[float64] `json:"alpha_pattern"`
	Bias          string            `json:"bias"`
	Save          []string          `json:"modules_to_save"`
	RSLoRA        bool              `json:"use_rslora"`
	DoRA          bool              `json:"use_dora"`
	FanInFanOut   bool              `json:"fan_in_fan_out"`
	UpBias        bool              `json:"lora_bias"`
	Init          json.RawMessage   `json:"init_lora_weights"`
}

// Names is a list of strings, or one string, which PEFT reads as a regular
// expression (or as "all-linear").
type Names struct {
	List    []string
	Pattern string
}

// Empty reports whether nothing was given.
func (n Names) Empty() bool { return len(n.List) == 0 && n.Pattern == "" }

// UnmarshalJSON implements json.Unmarshaler.
func (n *Names) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &n.Pattern)
	}
	return json.Unmarshal(b, &n.List)
}

// MarshalJSON implements json.Marshaler.
func (n Names) MarshalJSON() ([]byte, error) {
	switch {
	case n.Pattern != "":
		return json.Marshal(n.Pattern)
	case n.List == nil:
		return []byte("null"), nil
	}
	return json.Marshal(n.List)
}

// Indexes is a list of layer numbers, or one.
type Indexes []int

// UnmarshalJSON implements json.Unmarshaler.
func (x *Indexes) UnmarshalJSON(b []byte) error {
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] != '[' && string(b) != "null" {
		var one int
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		*x = Indexes{one}
		return nil
	}
	return json.Unmarshal(b, (*[]int)(x))
}

// refusals are settings of LoraConfig that change what the factors mean, and that
// the graph does not compute. A file that uses one is refused at registration.
var refusals = map[string]string{
	"target_parameters":       "LoRA on bare parameters",
	"trainable_token_indices": "trainable tokens",
	"layer_replication":       "layer replication",
	"use_qalora":              "QA-LoRA",
	"use_bdlora":              "block-diagonal LoRA",
	"alora_invocation_tokens": "activated LoRA",
	"arrow_config":            "Arrow routing",
	"kasa_config":             "KaSA",
	"velora_config":           "VeLoRA",
	"monteclora_config":       "MonteCLoRA",
}

// altersBase are initialisations after which the factors belong to a changed base.
var altersBase = []string{"pissa", "olora", "loftq", "corda", "lora_ga", "mica"}

// ParseConfig reads adapter_config.json and refuses, with the reason, what cannot
// be served. Every fault is reported at once.
func ParseConfig(b []byte) (Config, error) {
	var c Config
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return c, invalid.Field("adapter_config.json", "not a JSON object: %v", err)
	}
	if all == nil {
		return c, invalid.Field("adapter_config.json", "not a JSON object: null")
	}
	c = Config{R: 8, Alpha: 8, Bias: "none"} // LoraConfig's defaults
	if err := json.Unmarshal(b, &c); err != nil {
		var typ *json.UnmarshalTypeError
		if errors.As(err, &typ) {
			return c, invalid.Field(typ.Field, "must be %s, is %s", typ.Type, typ.Value)
		}
		return c, invalid.Field("adapter_config.json", "%v", err)
	}
	errs := []error{c.check()}
	names := make([]string, 0, len(refusals))
	for name := range refusals {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if set(all[name]) {
			errs = append(errs, invalid.Field(name, "%s is not supported", refusals[name]))
		}
	}
	return c, errors.Join(errs...)
}

// set reports whether a JSON value is something: not absent, null, false or empty.
func set(v json.RawMessage) bool {
	switch s := string(bytes.TrimSpace(v)); s {
	case "", "null", "false", "[]", "{}", `""`:
		return false
	}
	return true
}

// maxRank bounds what a hostile file can make us allocate; served ranks are bounded
// lower, by the bank.
const maxRank = 4096

func (c Config) check() error {
	var errs []error
	bad := func(field, format string, args ...any) { errs = append(errs, invalid.Field(field, format, args...)) }
	if c.PeftType != "LORA" {
		bad("peft_type", "only LORA adapters are served, this one is %q", c.PeftType)
	}
	if c.R < 1 || c.R > maxRank {
		bad("r", "must be between 1 and %d, is %d", maxRank, c.R)
	}
	finite(&errs, "lora_alpha", c.Alpha)
	if !(c.Dropout >= 0 && c.Dropout < 1) {
		bad("lora_dropout", "must be in [0, 1), is %v", c.Dropout)
	}
	switch c.Bias {
	case "none", "all", "lora_only":
	default:
		bad("bias", `must be "none", "all" or "lora_only", is %q`, c.Bias)
	}
	for _, p := range c.RankPattern {
		if p.Value < 1 || p.Value > maxRank {
			bad("rank_pattern", "%q: must be between 1 and %d, is %d", p.Key, maxRank, p.Value)
		}
	}
	for _, p := range c.AlphaPattern {
		finite(&errs, fmt.Sprintf("alpha_pattern.%s", p.Key), p.Value)
	}
	if c.FanInFanOut {
		bad("fan_in_fan_out", "only layers of GPT-2's Conv1D kind store weights that way; no served model has them")
	}
	var init string
	if json.Unmarshal(c.Init, &init) == nil {
		for _, name := range altersBase {
			if strings.HasPrefix(strings.ToLower(init), name) {
				bad("init_lora_weights", "%q changes the base's own weights; convert the adapter with PEFT's save_pretrained(path_initial_model_for_weight_conversion=…) first", init)
			}
		}
	}
	if _, err := c.matcher(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func finite(errs *[]error, field string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		*errs = append(*errs, invalid.Field(field, "must be a finite number"))
	}
}

// Marshal writes adapter_config.json so that PEFT reads it back.
func (c Config) Marshal() []byte {
	type peft Config // without methods
	if c.Init == nil {
		c.Init = json.RawMessage("true")
	}
	b, err := json.MarshalIndent(struct {
		peft
		AutoMapping   any  `json:"auto_mapping"`
		InferenceMode bool `json:"inference_mode"`
	}{peft: peft(c), InferenceMode: true}, "", "  ")
	if err != nil {
		panic(err) // every field marshals
	}
	return append(b, '\n')
}
