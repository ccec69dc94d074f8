package text

import (
	"encoding/json"
	"math"
	"strconv"
)

// parseScore reads a number as the Rust library's JSON parser does: the digits as
// one integer, then one multiplication or division by a power of ten. For scores of
// 17 digits that can be one unit in the last place off the nearest number, which
// decides between cuts of equal likelihood.
func parseScore(raw json.RawMessage) (float64, error) {
	var exact float64
	if err := json.Unmarshal(raw, &exact); err != nil {
		return 0, err
	}
	digits, exponent := uint64(0), 0
	negative, point, full := false, false, false
	s := string(raw)
	for i := range len(s) {
		switch c := s[i]; {
		case c == '-':
			negative = true
		case c == '.':
			point = true
		case '0' <= c && c <= '9':
			d := uint64(c - '0')
			if full = full || digits > (math.MaxUint64-d)/10; full {
				if !point {
					return exact, nil
				}
				continue // it drops what no longer fits
			}
			digits = digits*10 + d
			if point {
				exponent--
			}
		default: // e or E
			e, err := strconv.Atoi(s[i+1:])
			if err != nil {
				return exact, nil
			}
			return scaled(digits, exponent+e, negative, exact), nil
		}
	}
	return scaled(digits, exponent, negative, exact), nil
}

func scaled(digits uint64, exponent int, negative bool, exact float64) float64 {
	if exponent < -308 || exponent > 308 {
		return exact
	}
	f := float64(digits)
	if exponent >= 0 {
		f *= math.Pow10(exponent)
	} else {
		f /= math.Pow10(-exponent)
	}
	if negative {
		f = -f
	}
	return f
}
