// Package prompt turns what a caller asks into the text that a model reads: an
// instruction with its input, or a conversation, by a named template. Serving and
// training use the same one, so that a model is asked as it was taught.
package prompt

// Message is a turn of a conversation.
type Message struct {
	Role    string `json:"role"` // system | user | assistant
	Content string `json:"content"`
}

// Ask is an instruction with its input, or a conversation; never both.
type Ask struct {
	Instruction string
	Input       string
	Messages    []Message
}
