package metrics_test

import (
	"testing"

	"lorikeet/tuning/metrics"
)

func TestBLEUOfChineseIsByCharacter(t *testing.T) {
	refs := []string{"我不知道他在哪里。", "汤姆想去 Boston 吗？"}
	hyps := []string{"我不知道她在哪里。", "汤姆想去 Boston。"}
	got := metrics.Generation(hyps, refs)["bleu"]
	want := metrics.BLEU(hyps, [][]string{{refs[0]}, {refs[1]}}, metrics.BLEUOptions{Tokenize: "zh"}).Score
	if got != want || got < 20 {
		t.Errorf("bleu %v, want %v", got, want)
	}
	latin := []string{"He said 你好 to me and left the room at once."}
	if got, want := metrics.Generation(latin, latin)["bleu"], metrics.BLEU(latin, [][]string{latin}, metrics.BLEUOptions{}).Score; got != want {
		t.Errorf("bleu %v, want %v", got, want)
	}
}
