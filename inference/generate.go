package inference

import (
	"time"

	"lorikeet/adapters"
	"lorikeet/inference/prompt"
)

// GenerateRequest asks a base for a text.
type GenerateRequest struct {
	Model    string      // a base, an adapter or a variant
	Adapter  string      // of a base; "": the bare base
	Prompt   string      // the text as the model reads it; or
	Ask      *prompt.Ask // what a template makes a prompt of
	Template string      // its name; "": the adapter's or the variant's, else the base's own
	Truncate bool        // cut a prompt that is too long, rather than refuse it
	Parameters
}

// Parameters say how a text is written. See DefaultParameters.
type Parameters struct {
	MaxNewTokens      int
	MinNewTokens      int
	NumBeams          int     // above 1: beam search
	LengthPenalty     float64 // of beams
	EarlyStopping     bool    // of beams
	Sample            bool    // false: the likeliest token each time
	Temperature       float64
	TopK              int     // 0: all
	TopP              float64 // 1: all
	RepetitionPenalty float64
	NoRepeatNgram     int // 0: off
	Stop              []string
	Seed              *uint64
}

// DefaultParameters are greedy search for 64 tokens.
func DefaultParameters() Parameters {
	return Parameters{MaxNewTokens: 64, NumBeams: 1, LengthPenalty: 1, Temperature: 1, TopP: 1, RepetitionPenalty: 1}
}

// Generated is what a request was answered with.
type Generated struct {
	Model        string
	Adapter      *adapters.Ref // nil: the bare base
	Variant      *adapters.Ref // the full fine-tune that answered, if one did
	Text         string
	Tokens       []int32 // written, without what ended the text
	Finish       string  // FinishStop | FinishLength
	InputTokens  int
	OutputTokens int           // written, with what ended the text
	Queue        time.Duration // waited for a place in the batch
	First        time.Duration // from the call to the first token
	Inference    time.Duration // from the place in the batch to the end
}

// Why a text ended.
const (
	FinishStop   = "stop"   // an end token or a stop string
	FinishLength = "length" // max_new_tokens, or the model's length
)
