package tuning_test

import (
	"encoding/json"
	"testing"

	"lorikeet/adapters/invalid"
	"lorikeet/tuning"
)

// valid is the least a LoRA job needs.
const valid = `{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"ds_1"}}`

func parse(t *testing.T, body string) tuning.Spec {
	t.Helper()
	var s tuning.Spec
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return s.WithDefaults()
}

func TestDefaults(t *testing.T) {
	s := parse(t, valid)
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	h := s.Hyperparameters
	if *h.Epochs != 3 || *h.BatchSize != 16 || *h.LearningRate != 1e-3 || *h.Schedule != "linear" || *s.LoRA.R != 8 || h.Dropout != nil {
		t.Errorf("the defaults are %+v, %+v", h, s.LoRA)
	}
	for body, whole := range map[string]bool{`{"kind":"instruction"}`: false, `{"kind":"instruction","method":"lora"}`: false, `{"kind":"instruction","method":"full"}`: true, `{"kind":"full"}`: true, `{"kind":"lora"}`: false} {
		if s := parse(t, body); s.Whole() != whole || (s.LoRA == nil) != whole || (*s.Hyperparameters.LearningRate == 5e-5) != whole {
			t.Errorf("%s: %+v, %+v", body, s.Hyperparameters, s.LoRA)
		}
	}
	full := parse(t, `{"kind":"full","model":"bert","name":"imdb","dataset":{"id":"ds_1"},"hyperparameters":{"epochs":1}}`)
	if err := full.Validate(); err != nil || full.LoRA != nil || *full.Hyperparameters.LearningRate != 5e-5 || *full.Hyperparameters.Epochs != 1 {
		t.Errorf("a full fine-tune: %v, %+v", err, full.Hyperparameters)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	for body, field := range map[string]string{
		`{"kind":"x","model":"bert","name":"imdb","dataset":{"id":"d"}}`:                                                                            "kind",
		`{"kind":"instruction","model":"t5","name":"imdb","dataset":{"id":"d"},"method":"both"}`:                                                    "method",
		`{"kind":"instruction","model":"t5","name":"imdb","dataset":{"id":"d"},"method":"full","lora":{"r":8}}`:                                     "lora",
		`{"kind":"instruction","model":"t5","name":"imdb","dataset":{"id":"d"},"template":"vicuna"}`:                                                "template",
		`{"kind":"lora","model":"t5","name":"imdb","dataset":{"id":"d"},"source_lang":"English"}`:                                                   "source_lang",
		`{"kind":"lora","model":"t5","name":"imdb","dataset":{"id":"d"},"evaluate":{"generate_rows":-1}}`:                                           "evaluate.generate_rows",
		`{"kind":"lora","model":"t5","name":"imdb","dataset":{"id":"d"},"hyperparameters":{"max_target_length":1}}`:                                 "hyperparameters.max_target_length",
		`{"kind":"lora","name":"imdb","dataset":{"id":"d"}}`:                                                                                        "model",
		`{"kind":"lora","model":"bert","name":"IMDB","dataset":{"id":"d"}}`:                                                                         "name",
		`{"kind":"lora","model":"bert","name":"imdb"}`:                                                                                              "dataset",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d","hf":"o/n"}}`:                                                              "dataset",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d","split":0.1}}`:                                                             "dataset.split",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"validation":{"split":1.5}}`:                                              "validation.split",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"validation":{"id":"e","split":0.5}}`:                                     "validation",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"method":"full"}`:                                                         "method",
		`{"kind":"full","model":"bert","name":"imdb","dataset":{"id":"d"},"lora":{"r":8}}`:                                                          "lora",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"lora":{"r":0}}`:                                                          "lora.r",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"lora":{"alpha":-1}}`:                                                     "lora.alpha",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"lora":{"target_modules":[]}}`:                                            "lora.target_modules",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"lora":{"target_modules":5}}`:                                             "lora.target_modules",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"lora":{"modules_to_save":["../x"]}}`:                                     "lora.modules_to_save[0]",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"hyperparameters":{"epochs":0}}`:                                          "hyperparameters.epochs",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"hyperparameters":{"schedule":"step"}}`:                                   "hyperparameters.schedule",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"hyperparameters":{"dropout":1}}`:                                         "hyperparameters.dropout",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"early_stopping":{"patience":1}}`:                                         "early_stopping",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"validation":{"split":0.1},"early_stopping":{}}`:                          "early_stopping.patience",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"checkpoint_every_steps":-1}`:                                             "checkpoint_every_steps",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"promote":{"if":"eval_loss"}}`:                                            "promote",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"validation":{"split":0.1},"promote":{"if":"accuracy"}}`:                  "promote.if",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"validation":{"split":0.1},"promote":{"if":"eval_loss","than":"best"}}`:   "promote.than",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"validation":{"split":0.1},"promote":{"if":"eval_loss","min_delta":1e9}}`: "promote.min_delta",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"priority":1000}`:                                                         "priority",
		`{"kind":"lora","model":"bert","name":"imdb","dataset":{"id":"d"},"class":"A B"}`:                                                           "class",
	} {
		found := false
		faults := invalid.Faults(parse(t, body).Validate())
		for _, f := range faults {
			found = found || f.Field == field
		}
		if !found {
			t.Errorf("%s: faults %v, want one of %s", body, faults, field)
		}
	}
	all := invalid.Faults(parse(t, `{"kind":"lora","name":"?","hyperparameters":{"epochs":0,"batch_size":0},"lora":{"r":0}}`).Validate())
	if len(all) < 6 {
		t.Errorf("only %d faults at once: %v", len(all), all)
	}
}
