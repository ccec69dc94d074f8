package routes

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"lorikeet/adapters"
	"lorikeet/adapters/invalid"
	"lorikeet/tuning"
	"lorikeet/tuning/datasets"
	"lorikeet/tuning/queue"
)

// createJobRequest is the body of POST /v1/fine_tuning/jobs.
type createJobRequest struct {
	Model           string            `json:"model" example:"bert"`                              // a base
	TrainingFile    string            `json:"training_file" example:"file-9f86d081884c7d659a2f"` // or the id of a data set
	ValidationFile  *string           `json:"validation_file,omitempty" example:"file-2c26b46b68ffc68ff99b"`
	Suffix          *string           `json:"suffix,omitempty" example:"imdb"` // the fine-tuned model's name, made lower-case; a name of its own unless given
	Seed            *int64            `json:"seed,omitempty" example:"42"`
	Method          *tuneMethod       `json:"method,omitempty"`
	Hyperparameters *autoParameters   `json:"hyperparameters,omitempty"` // the older place of those of method
	Metadata        map[string]string `json:"metadata,omitempty" example:"team:search"`
	Integrations    *unsupported      `json:"integrations,omitempty" swaggertype:"array,object"`
	Lorikeet        *tuneExtras       `json:"lorikeet,omitempty"` // what OpenAI's API has no words for

	Sent string `json:"-" header:"X-Stainless-Retry-Count" swaggerignore:"true"`
	Key  string `json:"-" header:"Idempotency-Key" swaggerignore:"true"`
} // @name CreateFineTuningJobRequest

// tuneMethod is supervised.
type tuneMethod struct {
	Type          string          `json:"type" example:"supervised" enums:"supervised"`
	Supervised    *tuneSupervised `json:"supervised,omitempty"`
	DPO           *unsupported    `json:"dpo,omitempty" swaggertype:"object"`
	Reinforcement *unsupported    `json:"reinforcement,omitempty" swaggertype:"object"`
} // @name FineTuningMethod

type tuneSupervised struct {
	Hyperparameters *autoParameters `json:"hyperparameters,omitempty"`
} // @name SupervisedMethod

// autoParameters are numbers, or "auto" for the defaults of the kind of job.
type autoParameters struct {
	Epochs     auto `json:"n_epochs,omitempty" swaggertype:"object"`
	BatchSize  auto `json:"batch_size,omitempty" swaggertype:"object"`
	Multiplier auto `json:"learning_rate_multiplier,omitempty" swaggertype:"object"` // of the default learning rate
} // @name SupervisedHyperparameters

// auto is a number, or "auto".
type auto struct{ number *float64 }

// UnmarshalJSON reads either.
func (a *auto) UnmarshalJSON(data []byte) error {
	if s := strings.TrimSpace(string(data)); s == `"auto"` || s == "null" {
		a.number = nil
		return nil
	}
	if err := json.Unmarshal(data, &a.number); err != nil {
		return &invalid.Fault{Reason: `must be a number, or "auto"`}
	}
	return nil
}

// MarshalJSON writes either.
func (a auto) MarshalJSON() ([]byte, error) { return json.Marshal(a.number) }

// tuneExtras are what POST /tune/{kind} takes beside what OpenAI's API has.
type tuneExtras struct {
	Kind            string                  `json:"kind,omitempty" example:"lora" enums:"full,lora,instruction"` // lora for a classifier, instruction for a base that writes
	Method          string                  `json:"method,omitempty" example:"lora" enums:"lora,full"`           // of an instruction tune
	Template        string                  `json:"template,omitempty" example:"plain" enums:"plain,t5,alpaca,chat"`
	SourceLang      string                  `json:"source_lang,omitempty" example:"English"`
	TargetLang      string                  `json:"target_lang,omitempty" example:"German"`
	Validation      *tuning.Source          `json:"validation,omitempty"`      // such as {"split": 0.1}; excludes validation_file
	Hyperparameters *tuning.Hyperparameters `json:"hyperparameters,omitempty"` // those of method come before them
	LoRA            *tuning.LoRAOptions     `json:"lora,omitempty"`
	EarlyStopping   *tuning.EarlyStopping   `json:"early_stopping,omitempty"`
	Evaluate        *tuning.Evaluate        `json:"evaluate,omitempty"`
	CheckpointEvery int                     `json:"checkpoint_every_steps,omitempty" example:"100"`
	Priority        int                     `json:"priority,omitempty" example:"0"`
	Class           string                  `json:"class,omitempty" example:"gpu"`
} // @name FineTuningExtras

// create takes in a job.
//
//	@Summary		Create a fine-tuning job (OpenAI)
//	@Description	Queues a fine-tune of a base on an uploaded file. A classifier learns a LoRA adapter; of conversations, the user's message is the text and the assistant's the label. A base that writes learns the answers. On success fine_tuned_model names what can be asked; with the same suffix that is the next version of the same name. All faults of the request come back at once.
//	@Description
//	@Description	OpenAI's clients send a request again when no answer comes, and say so in X-Stainless-Retry-Count: within ten minutes it makes no second job. Other clients send an Idempotency-Key.
//	@ID				openaiCreateJob
//	@Tags			openai
//	@Accept			json
//	@Produce		json
//	@Param			X-Stainless-Retry-Count	header	string	false	"how often an OpenAI client has sent this before"
//	@Param			Idempotency-Key	header	string	false	"the same key and the same request make one job"
//	@Param			request	body		createJobRequest	true	"what to tune, and how"
//	@Success		200		{object}	tuningJob
//	@Failure		default	{object}	Problem
//	@Router			/v1/fine_tuning/jobs [post]
func (t openaiJobs) create(ctx context.Context, in createJobRequest) (createdJob, error) {
	arrived := visitIn(ctx).began
	spec, base, err := t.spec(ctx, in)
	if err != nil {
		return createdJob{}, err
	}
	key, err := t.key(ctx, in, arrived)
	if err != nil {
		return createdJob{}, err
	}
	if spec.Name == "" {
		spec.Name = ownName(in.Model, key)
	}
	one := t.tune
	if base.scores() {
		one.rows = labelled{t.rows}
	}
	made, err := one.submit(ctx, spec.Kind, tuneRequest{Spec: spec, Key: key})
	if err != nil {
		return createdJob{}, in.blamed(err)
	}
	note(ctx, slog.Bool("sent_again", made.replayed))
	return createdJob{tuningJobOf(made.job.Job), made.replayed}, nil
}

// labelled makes rows for a classifier of what was meant for a model that writes.
type labelled struct{ rows }

func (l labelled) Inputs(ctx context.Context, s tuning.Spec) (datasets.Inputs, error) {
	in, err := l.rows.Inputs(ctx, s)
	if err != nil {
		return in, err
	}
	return l.Labelled(ctx, in)
}

// key is what makes two sendings of a request one job.
func (t openaiJobs) key(ctx context.Context, in createJobRequest, arrived time.Time) (string, error) {
	if in.Key != "" || in.Sent == "" {
		return in.Key, nil
	}
	again := strings.Trim(in.Sent, "0") != ""
	in.Sent = ""
	body, err := json.Marshal(in)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	c := callerIn(ctx)
	return t.jobs.SendingKey(ctx, queue.Sending{By: c.tenant() + "\x00" + c.key.ID, Body: hex.EncodeToString(sum[:]), Again: again, At: arrived})
}

// ownName is the name of a model that was given none.
func ownName(model, key string) string {
	if key == "" {
		key = rand.Text()
	}
	sum := sha256.Sum256([]byte("lorikeet model\x00" + key))
	name := "ft-" + model
	return name[:min(len(name), 48)] + "-" + hex.EncodeToString(sum[:4])
}

// spec is what the other routes call the request, with the base that it names, and
// everything that is wrong with it in its own words.
func (t openaiJobs) spec(ctx context.Context, in createJobRequest) (tuning.Spec, askedModel, error) {
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, invalid.Field(field, format, args...))
	}
	x := tuneExtras{}
	if in.Lorikeet != nil {
		x = *in.Lorikeet
	}
	s := tuning.Spec{Kind: tuning.Kind(x.Kind), Model: in.Model, Method: x.Method, Template: x.Template, SourceLang: x.SourceLang, TargetLang: x.TargetLang,
		Validation: x.Validation, LoRA: x.LoRA, EarlyStopping: x.EarlyStopping, Evaluate: x.Evaluate, CheckpointEvery: x.CheckpointEvery,
		Priority: x.Priority, Class: x.Class}
	if in.TrainingFile == "" {
		fault("training_file", "is missing: upload a file with purpose fine-tune and give its id")
	} else {
		s.Dataset = &tuning.Source{ID: datasetID(in.TrainingFile)}
	}
	if in.ValidationFile != nil && *in.ValidationFile != "" {
		if x.Validation != nil {
			fault("lorikeet.validation", "excludes validation_file; give one of the two")
		}
		s.Validation = &tuning.Source{ID: datasetID(*in.ValidationFile)}
	}
	if in.Suffix != nil && strings.TrimSpace(*in.Suffix) != "" {
		if s.Name = slug(*in.Suffix); adapters.CheckName("suffix", s.Name) != nil {
			fault("suffix", "%q makes no name: it needs a letter or a digit, and 64 characters at most", brief(*in.Suffix))
		}
	}
	if len(in.Metadata) > 16 {
		fault("metadata", "holds %d pairs; at most 16 are kept", len(in.Metadata))
	}
	for name, value := range in.Metadata {
		if len(name) > 64 || len(value) > 512 {
			fault("metadata", "%q: a name has at most 64 bytes, a value 512", brief(name))
		}
		if s.Metadata == nil {
			s.Metadata = map[string]any{}
		}
		s.Metadata[name] = value
	}
	if in.Model == "" {
		fault("model", "is missing: name a base (see GET /v1/models)")
		return s, askedModel{}, errors.Join(faults...)
	}
	m, err := t.find(ctx, in.Model)
	switch {
	case err != nil && len(faults) == 0:
		return s, m, err
	case err == nil && m.version != nil:
		fault("model", "%s is a fine-tuned model: only bases can be tuned", m.name())
	case s.Kind == "" && m.scores() && x.Method == "full":
		s.Kind, s.Method = tuning.Full, ""
	case s.Kind == "" && m.scores():
		s.Kind, s.Method = tuning.LoRA, ""
	case s.Kind == "":
		s.Kind = tuning.Instruction
	}
	faults = append(faults, in.hyperparameters(&s, x.Hyperparameters))
	return s, m, errors.Join(faults...)
}

// hyperparameters are those of the extras, where method or seed do not say otherwise.
func (in createJobRequest) hyperparameters(s *tuning.Spec, extra *tuning.Hyperparameters) error {
	var faults []error
	h := tuning.Hyperparameters{}
	if extra != nil {
		h = *extra
	}
	given, at := autoParameters{}, "hyperparameters"
	if in.Hyperparameters != nil {
		given = *in.Hyperparameters
	}
	if m := in.Method; m != nil {
		if m.Type != "supervised" {
			faults = append(faults, invalid.Field("method.type", "%q is not supported: supervised is", brief(m.Type)))
		}
		if m.Supervised != nil && m.Supervised.Hyperparameters != nil {
			given, at = *m.Supervised.Hyperparameters, "method.supervised.hyperparameters"
		}
	}
	if e := given.Epochs.number; e != nil {
		h.Epochs = e
	}
	if b := given.BatchSize.number; b != nil {
		if *b != float64(int(*b)) {
			faults = append(faults, invalid.Field(at+".batch_size", "must be a whole number, not %v", *b))
		}
		h.BatchSize = new(int(*b))
	}
	if r := given.Multiplier.number; r != nil {
		if !(*r > 0) {
			faults = append(faults, invalid.Field(at+".learning_rate_multiplier", "must be above 0, not %v", *r))
		}
		h.LearningRate = new(*r * standardRate(*s))
	}
	if in.Seed != nil {
		h.Seed = in.Seed
	}
	s.Hyperparameters = &h
	return errors.Join(faults...)
}

// slug makes a name of a suffix.
func slug(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '.', r == '_':
			return r
		}
		return '-'
	}, strings.ToLower(strings.TrimSpace(s)))
	return strings.Trim(s, "-._")
}

// blamed makes faults of the spec name fields of this request.
func (in createJobRequest) blamed(err error) error {
	at := "hyperparameters."
	if in.Method != nil && in.Method.Supervised != nil && in.Method.Supervised.Hyperparameters != nil {
		at = "method.supervised.hyperparameters."
	}
	names := map[string]string{"model": "model", "name": "suffix", "hyperparameters.epochs": at + "n_epochs", "hyperparameters.batch_size": at + "batch_size",
		"hyperparameters.learning_rate": at + "learning_rate_multiplier", "hyperparameters.seed": "seed"}
	return relabelled(err, func(field string) string {
		if name, ok := names[field]; ok {
			return name
		}
		for from, to := range map[string]string{"dataset": "training_file", "validation": "validation_file"} {
			if rest, ok := strings.CutPrefix(field, from); ok && (rest == "" || rest[0] == '.') && (from == "dataset" || in.ValidationFile != nil) {
				return to + strings.TrimPrefix(rest, ".id")
			}
		}
		return "lorikeet." + field
	})
}

// relabelled is err with other names for the fields that its faults blame.
func relabelled(err error, name func(field string) string) error {
	faults := invalid.Faults(err)
	if len(faults) == 0 {
		return err
	}
	out := relabelledError{of: err}
	for _, f := range faults {
		if f.Field != "" {
			f.Field = name(f.Field)
		}
		out.faults = append(out.faults, &f)
	}
	return out
}

// relabelledError is every error that it is made of, but for its faults.
type relabelledError struct {
	of     error
	faults []error
}

func (e relabelledError) Error() string        { return fmt.Sprint(errors.Join(e.faults...)) }
func (e relabelledError) Unwrap() []error      { return e.faults }
func (e relabelledError) Is(target error) bool { return errors.Is(e.of, target) }
