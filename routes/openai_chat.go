package routes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"lorikeet/adapters/invalid"
	"lorikeet/inference"
	"lorikeet/inference/prompt"
)

// chatRequest is the body of POST /v1/chat/completions.
type chatRequest struct {
	Model    string        `json:"model" example:"imdb@3"` // a base, or a fine-tuned model by its name or name@version
	Messages []chatMessage `json:"messages"`
	sampling
	MaxTokens           *int  `json:"max_tokens,omitempty" default:"1024" minimum:"1"`            // of each text, or as many as the model takes where that is less
	MaxCompletionTokens *int  `json:"max_completion_tokens,omitempty" default:"1024" minimum:"1"` // the same under its newer name
	Logprobs            *bool `json:"logprobs,omitempty" default:"false"`                         // tell the log probability of each token, before penalties and temperature
	TopLogprobs         *int  `json:"top_logprobs,omitempty" minimum:"0" maximum:"20"`            // and of so many of the likeliest beside it
	chatOthers
	Canary string `json:"-" header:"X-Canary-Key" swaggerignore:"true"`
} // @name ChatCompletionRequest

// chatOthers are fields that OpenAI's API has and that change nothing here, or that ask
// for what cannot be done here.
type chatOthers struct {
	ResponseFormat *responseFormat `json:"response_format,omitempty"`
	Store          *unsupported    `json:"store,omitempty" swaggertype:"boolean"`
	Tools          *unsupported    `json:"tools,omitempty" swaggertype:"array,object"`
	ToolChoice     *unsupported    `json:"tool_choice,omitempty" swaggertype:"string"`
	Functions      *unsupported    `json:"functions,omitempty" swaggertype:"array,object"`
	FunctionCall   *unsupported    `json:"function_call,omitempty" swaggertype:"string"`
	Audio          *unsupported    `json:"audio,omitempty" swaggertype:"object"`
	Modalities     *modalities     `json:"modalities,omitempty" swaggertype:"array,string"`
	WebSearch      *unsupported    `json:"web_search_options,omitempty" swaggertype:"object"`
	Moderation     *unsupported    `json:"moderation,omitempty" swaggertype:"object"`
	Reasoning      *unsupported    `json:"reasoning_effort,omitempty" swaggertype:"string"`
	Verbosity      *ignored        `json:"verbosity,omitempty" swaggertype:"string"`
	Metadata       *ignored        `json:"metadata,omitempty" swaggertype:"object"`
	ParallelTools  *ignored        `json:"parallel_tool_calls,omitempty" swaggertype:"boolean"`
	Prediction     *ignored        `json:"prediction,omitempty" swaggertype:"object"`
	ServiceTier    *ignored        `json:"service_tier,omitempty" swaggertype:"string"`
	Safety         *ignored        `json:"safety_identifier,omitempty" swaggertype:"string"`
	CacheKey       *ignored        `json:"prompt_cache_key,omitempty" swaggertype:"string"`
	CacheOptions   *ignored        `json:"prompt_cache_options,omitempty" swaggertype:"object"`
	CacheRetention *ignored        `json:"prompt_cache_retention,omitempty" swaggertype:"string"`
}

// responseFormat may ask for text.
type responseFormat struct {
	Type string       `json:"type" example:"text" enums:"text"`
	Form *unsupported `json:"json_schema,omitempty" swaggertype:"object"`
} // @name ResponseFormat

// modalities may be texts.
type modalities []string

// chatMessage is one message of a conversation.
type chatMessage struct {
	Role    string       `json:"role" example:"user" enums:"system,developer,user,assistant"`
	Content *parts       `json:"content" swaggertype:"object"`                     // a text, or a list of {"type": "text", "text": …}
	Name    *string      `json:"name,omitempty" example:"Ann"`                     // passed over
	Refusal *ignored     `json:"refusal,omitempty" swaggertype:"string"`           // passed over
	Notes   *ignored     `json:"annotations,omitempty" swaggertype:"array,object"` // passed over
	Audio   *unsupported `json:"audio,omitempty" swaggertype:"object"`
	Calls   *unsupported `json:"tool_calls,omitempty" swaggertype:"array,object"`
	Call    *unsupported `json:"function_call,omitempty" swaggertype:"object"`
} // @name ChatMessage

// chatCompletion answers a chatRequest.
type chatCompletion struct {
	ID          string       `json:"id" example:"chatcmpl-5f0c2b7e9a1d4c3f8e6b7a90"`
	Object      string       `json:"object" example:"chat.completion" enums:"chat.completion"`
	Created     int64        `json:"created" example:"1764288000"`
	Model       string       `json:"model" example:"imdb@3"` // exactly what answered
	Fingerprint string       `json:"system_fingerprint" example:"fp_9f86d081884c"`
	Choices     []chatChoice `json:"choices"`
	Usage       openaiUsage  `json:"usage"`
} // @name ChatCompletion

// chatChoice is one of the texts.
type chatChoice struct {
	Index        int           `json:"index" example:"0"`
	Message      chatAnswer    `json:"message"`
	Logprobs     *chatLogprobs `json:"logprobs"` // null where not asked for
	FinishReason string        `json:"finish_reason" example:"stop" enums:"stop,length"`
} // @name ChatChoice

// chatAnswer is what the model says.
type chatAnswer struct {
	Role    string  `json:"role" example:"assistant" enums:"assistant"`
	Content string  `json:"content" example:"positive"`
	Refusal *string `json:"refusal"` // always null
} // @name ChatAnswer

// chatLogprobs are of the tokens of a text.
type chatLogprobs struct {
	Content []tokenLogprob `json:"content"`
	Refusal []tokenLogprob `json:"refusal"` // always null
} // @name ChatLogprobs

// tokenLogprob is of one token, or of a label.
type tokenLogprob struct {
	topLogprob
	Top []topLogprob `json:"top_logprobs"`
} // @name TokenLogprob

type topLogprob struct {
	Token   string  `json:"token" example:"positive"`
	Logprob float64 `json:"logprob" example:"-0.02"`
	Bytes   []int   `json:"bytes"` // a token may be a part of a character
} // @name TopLogprob

// openaiUsage counts tokens. A prompt counts once, however many texts follow it.
type openaiUsage struct {
	Prompt     int `json:"prompt_tokens" example:"12"`
	Completion int `json:"completion_tokens" example:"5"`
	Total      int `json:"total_tokens" example:"17"`
} // @name OpenAIUsage

// completions answers /v1/chat/completions and /v1/completions.
type completions struct {
	openaiModels
	metrics   *meters
	heartbeat time.Duration
	closing   context.Context // ends when what is still being written has to stop
}

// chatTokens is how long an answer may be that nobody bounds. A text keeps room for all it
// may become: without a bound a few conversations would fill the batch's memory.
const chatTokens = 1024

// chat answers a conversation.
//
//	@Summary		Answer a conversation (OpenAI)
//	@Description	Answers a conversation as OpenAI's API does. model is a base, or a fine-tuned model by its name or name@version. A model that writes writes n texts, rows of the one running batch; drawn at temperature 1 unless told otherwise. A classifier reads the last message of the user and answers with its label; with logprobs, top_logprobs are of its labels.
//	@Description
//	@Description	System and developer messages come first; those of one role in a row are read as one. Content may be a list of text parts. Tools, images, audio and response formats other than text are refused by name.
//	@Description
//	@Description	With `stream` the answer is server-sent events: `data:` chunks of object chat.completion.chunk, whose choices have a delta; the last chunk of each choice has its finish_reason; with stream_options.include_usage one more chunk has the usage and no choices; then `data: [DONE]`. What goes wrong after the first chunk is a `data:` object with error, and the stream ends.
//	@ID				createChatCompletion
//	@Tags			openai
//	@Accept			json
//	@Produce		json
//	@Param			X-Canary-Key	header	string	false	"keeps the caller on one version where the traffic of a model is split: a user's id, say"
//	@Param			request	body		chatRequest	true	"the conversation, and how to answer it"
//	@Success		200		{object}	chatCompletion
//	@Failure		default	{object}	Problem
//	@Router			/v1/chat/completions [post]
func (c completions) chat(ctx context.Context, in chatRequest) (answer completionAnswer[chatCompletion], err error) {
	messages, faults := in.conversation()
	most, field := in.MaxTokens, "max_tokens"
	if in.MaxCompletionTokens != nil {
		most, field = in.MaxCompletionTokens, "max_completion_tokens"
	}
	p, n, wrong := in.read(field, most, chatTokens)
	faults = append(faults, wrong)
	if f := in.ResponseFormat; f != nil && f.Type != "text" {
		faults = append(faults, invalid.Field("response_format", "%q is not supported: answers are text", brief(f.Type)))
	}
	if in.Modalities != nil && (len(*in.Modalities) != 1 || (*in.Modalities)[0] != "text") {
		faults = append(faults, invalid.Field("modalities", `must be ["text"]: these models write text alone`))
	}
	top := -1
	if in.Logprobs != nil && *in.Logprobs {
		top = 0
	}
	if in.TopLogprobs != nil {
		if top < 0 && *in.TopLogprobs != 0 {
			faults = append(faults, invalid.Field("top_logprobs", "goes with logprobs: true"))
		}
		if *in.TopLogprobs < 0 || *in.TopLogprobs > inference.MostLogprobs {
			faults = append(faults, invalid.Field("top_logprobs", "must be from 0 to %d, not %d", inference.MostLogprobs, *in.TopLogprobs))
		} else if top == 0 {
			top = *in.TopLogprobs
		}
	}
	model, err := c.model(ctx, in.Model, in.Canary, faults)
	if err != nil {
		return answer, err
	}
	o := &completionOrder{completions: c, model: model, top: top, chunk: chatPiece, usage: in.usage(), blame: "messages"}
	if model.scores() {
		o.inputs = []inference.Input{{Text: messages[len(messages)-1].Content}}
		o.n, o.truncate = n, in.Truncate == nil || *in.Truncate
	} else {
		o.rows(inference.GenerateRequest{Model: model.name(), Ask: &prompt.Ask{Messages: messages}, Truncate: in.Truncate != nil && *in.Truncate, Parameters: p}, n)
	}
	return completed(ctx, o, "chatcmpl-", in.streams(), chatWhole)
}

// model finds what a request names, for the asker that key stands for, and reports the
// faults found before together with its own.
func (c completions) model(ctx context.Context, name, key string, faults []error) (askedModel, error) {
	var err error
	if name == "" { // any other is found, or is not
		if name, err = modelOrOnly(ctx, c.engine, name); err != nil && !invalid.Is(err) {
			return askedModel{}, err
		}
	}
	if err := errors.Join(append(faults, err)...); err != nil {
		return askedModel{}, err
	}
	return c.route(ctx, name, askerOf(ctx, key))
}

// conversation are the messages as the models here are taught them: those of one role in
// a row are one.
func (in chatRequest) conversation() (all []prompt.Message, faults []error) {
	if len(in.Messages) == 0 {
		return nil, []error{invalid.Field("messages", "holds no message")}
	}
	for i, m := range in.Messages {
		at := fmt.Sprintf("messages[%d]", i)
		role := m.Role
		switch role {
		case "developer":
			role = prompt.System
		case "tool", "function":
			faults = append(faults, invalid.Field(at+".role", "%q is not supported: these models call no tools", role))
		case prompt.System, prompt.User, prompt.Assistant:
		default:
			faults = append(faults, invalid.Field(at+".role", "%q is none of system, developer, user, assistant", brief(role)))
		}
		if m.Content == nil {
			faults = append(faults, invalid.Field(at+".content", "is missing"))
		} else if n := len(all); n > 0 && all[n-1].Role == role {
			all[n-1].Content = strings.TrimSpace(all[n-1].Content + "\n\n" + string(*m.Content))
		} else {
			all = append(all, prompt.Message{Role: role, Content: string(*m.Content)})
		}
	}
	if len(faults) == 0 {
		if err := prompt.CheckMessages(all, false); err != nil {
			faults = append(faults, err)
		}
	}
	return all, faults
}
