package openapi

import (
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// openaiPrefix begins the paths of OpenAI's API, where what is wrong with a request is a
// 400 and not a 422.
const openaiPrefix = "/v1/"

// openai gives the fields of the routes below /v1 that have several types their types, and
// says which may be null.
func openai(doc *openapi3.T) error {
	number := func(about string) *openapi3.SchemaRef {
		return inline(&openapi3.Schema{Type: &openapi3.Types{"number"}, Format: "double", Description: about})
	}
	auto := func(about string) *openapi3.SchemaRef {
		return oneOf(about, number(""), inline(&openapi3.Schema{Type: &openapi3.Types{"string"}, Enum: []any{"auto"}}))
	}
	part := object("", []string{"type", "text"}, map[string]*openapi3.SchemaRef{
		"type": inline(&openapi3.Schema{Type: &openapi3.Types{"string"}, Enum: []any{"text"}}), "text": text(""),
	})
	doc.Components.Schemas["TextPart"] = part
	prompts := atLeastOne(listOf(text(""), "at most 32 of them; each begins its own choices"))
	prompts.Value.MaxItems = openapi3.Ptr(uint64(32))
	err := retype(doc, []retyped{
		{"ChatCompletionRequest", "messages", atLeastOne(listOf(ref("ChatMessage"), "the conversation; the user's message comes last"))},
		{"ChatCompletionRequest", "stop", oneOf("the text ends before these", stopString(), stopStrings())},
		{"CompletionRequest", "stop", oneOf("the text ends before these", stopString(), stopStrings())},
		{"ChatMessage", "content", oneOf("a text, or parts that are texts", text("one text"), listOf(ref("TextPart"), "read as one text"))},
		{"CompletionRequest", "prompt", oneOf("what to go on from", text("one text"), prompts)},
		{"SupervisedHyperparameters", "n_epochs", auto("how often all rows are learned")},
		{"SupervisedHyperparameters", "batch_size", auto("rows in a step, a whole number")},
		{"SupervisedHyperparameters", "learning_rate_multiplier", auto("of the default learning rate of the kind of job")},
	})
	if err != nil {
		return err
	}
	for name, fields := range map[string]string{
		"OpenAIModel": "parent", "ChatChoice": "logprobs", "ChatAnswer": "refusal", "ChatLogprobs": "refusal",
		"CompletionChoice": "logprobs", "FineTuningError": "param",
		"FineTuningJob": "finished_at estimated_finish fine_tuned_model validation_file trained_tokens error",
	} {
		s, err := schema(doc, name)
		if err != nil {
			return err
		}
		for field := range strings.FieldsSeq(fields) {
			s.Properties[field] = nullable(s.Properties[field])
		}
	}
	return nil
}

// openaiRequests are the schemas of what callers send below /v1.
var openaiRequests = []string{"ChatCompletionRequest", "StreamOptions", "ResponseFormat", "ChatMessage", "TextPart", "CompletionRequest",
	"CreateFineTuningJobRequest", "FineTuningMethod", "SupervisedMethod", "SupervisedHyperparameters", "FineTuningExtras",
	"CreateWebhookEndpointRequest", "UpdateWebhookEndpointRequest", "RotateWebhookSecretRequest", "TestWebhookEndpointRequest"}
