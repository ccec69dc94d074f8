package data

import (
	"strings"
)

// plan says which column of the file is which field of a row.
type plan struct {
	kind    Kind
	columns map[string]string // field to column, as the file names it
	// languages are the members of translation dicts that are source and target;
	// the column itself is then columns["translation"].
	languages [2]string
}

// The names that columns have in the wild, in the order in which they are preferred.
// Sources: the data sets of GLUE, the Hugging Face hub and Kaggle, the formats of
// Alpaca, ShareGPT, LLaMA-Factory, OpenAI and TRL.
var (
	textNames = []string{
		"text", "sentence", "review", "content", "tweet", "comment", "comment_text", "review_text", "review_body", "reviewtext",
		"text_review", "body", "message", "sms", "utterance", "document", "headline", "query", "question", "post", "description",
		"texts", "sentences", "text_a", "sentence1", "input_text", "input", "title", "prompt", "clean_text", "cleaned_text", "statement", "phrase", "string",
	}
	labelNames = []string{
		"label", "labels", "sentiment", "class", "category", "target", "intent", "emotion", "topic", "gold_label", "quality",
		"is_duplicate", "score", "rating", "stars", "overall", "polarity", "similarity", "similarity_score", "class_index", "class_label",
		"label_text", "label_name", "coarse_label", "tag", "type", "y", "output", "answer", "relevance", "stance", "toxic", "spam",
	}
	pairNames = [][2]string{
		{"text", "text_pair"}, {"sentence1", "sentence2"}, {"sentence_1", "sentence_2"}, {"premise", "hypothesis"},
		{"question1", "question2"}, {"question_1", "question_2"}, {"#1_string", "#2_string"}, {"question", "sentence"},
		{"question", "passage"}, {"query", "passage"}, {"query", "document"}, {"text1", "text2"}, {"text_1", "text_2"},
		{"text_a", "text_b"}, {"sentence_a", "sentence_b"}, {"s1", "s2"}, {"q1", "q2"}, {"claim", "evidence"},
		{"question", "answer"}, {"context", "response"}, {"prompt", "response"},
	}
	seq2seqNames = [][2]string{
		{"source", "target"}, {"src", "tgt"}, {"prompt", "completion"}, {"prompt", "response"}, {"source_text", "target_text"},
		{"input_text", "target_text"}, {"input_text", "output_text"}, {"text", "target_text"}, {"input", "output"}, {"inputs", "targets"},
		{"inputs", "outputs"}, {"input", "target"}, {"query", "response"}, {"document", "summary"}, {"article", "highlights"},
		{"article", "summary"}, {"dialogue", "summary"}, {"text", "summary"}, {"question", "answer"},
	}
	instructionNames = []string{"instruction", "instructions"}
	inputNames       = []string{"input", "inputs", "context"}
	outputNames      = []string{"output", "outputs", "response", "completion", "answer", "target"}
	messagesNames    = []string{"messages", "conversations", "conversation", "dialog", "dialogue", "chat"}
)

// iso639 are the two-letter language codes, as columns of parallel texts are named.
const iso639 = " aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu "

// isLanguage knows "en", "zh-CN" and "pt_br".
func isLanguage(name string) bool {
	code, region, _ := strings.Cut(normal(name), "_")
	return len(code) == 2 && len(region) <= 4 && strings.Contains(iso639, " "+code+" ")
}

// normal is how names are compared: "Review Text" is "review_text".
func normal(name string) string {
	name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\uFEFF")))
	return strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == '-' || r == '_' }), "_")
}

// columnNames are all names above.
var columnNames = func() map[string]bool {
	known := map[string]bool{"translation": true, "id": true, "idx": true, "index": true}
	for _, list := range [][]string{textNames, labelNames, instructionNames, inputNames, outputNames, messagesNames} {
		for _, n := range list {
			known[n] = true
		}
	}
	for _, list := range [][][2]string{pairNames, seq2seqNames} {
		for _, n := range list {
			known[n[0]], known[n[1]] = true, true
		}
	}
	return known
}()

// fields of each kind that Options.Columns may name; those with a "?" need not exist.
var fieldsOf = map[Kind][]string{
	Classification: {"text", "text_pair?", "label"},
	Regression:     {"text", "text_pair?", "target"},
	Instruction:    {"instruction", "input?", "output"},
	Chat:           {"messages"},
	Seq2Seq:        {"source", "target"},
	Text:           {"text"},
}
