package tasks

// table is every task and how often it is asked.
var table = []task{
	{"copy", 3, copyText}, {"reverse", 2.5, reverse}, {"upper", 1.5, upper}, {"lower", 1, lower},
	{"first", 1.5, first}, {"last", 1.5, last}, {"second", 1, second}, {"twice", 0.7, twice},
	{"dropfirst", 0.7, dropFirst}, {"droplast", 0.7, dropLast}, {"comma", 0.7, comma},
	{"count", 2, count}, {"longest", 1, longestWord},
	{"contains", 2, contains}, {"member", 2, member}, {"oddone", 1.5, oddOne}, {"kind", 1, kind}, {"isa", 1.2, isA},
	{"person", 2, extract("person")}, {"number", 2, extract("number")}, {"date", 2, extract("date")},
	{"city", 1.5, extract("city")}, {"color", 1.5, extract("color")}, {"email", 1, email}, {"price", 1, price},
	{"reading", 4, reading}, {"negate", 1, negate}, {"ask", 1, question},
	{"add", 2.5, add}, {"subtract", 1.5, subtract}, {"sum", 2, sum}, {"spell", 1.5, spell}, {"digits", 1.2, digits},
	{"larger", 0.8, larger}, {"smaller", 0.8, smaller}, {"next", 0.8, next},
	{"spanish", 6, toSpanish}, {"english", 4, toEnglish},
	{"sentiment", 6, sentiment}, {"goodbad", 2, goodBad}, {"liked", 2, liked}, {"disliked", 1, disliked},
	{"topic", 3, topic}, {"reply", 2, reply}, {"subject", 3, subject}, {"label", 3, label},
	{"opposite", 1.2, fact("opposite", true)}, {"capital", 0.8, fact("capital", false)}, {"country", 0.5, countryOf},
	{"past", 1, fact("past", false)}, {"plural", 1, fact("plural", false)}, {"young", 0.3, fact("young", false)},
	{"sound", 0.3, fact("sound", false)}, {"colored", 0.3, fact("colored", false)},
	{"after", 0.5, neighbor("day", 1)}, {"before", 0.5, neighbor("day", -1)},
	{"aftermonth", 0.5, neighbor("month", 1)}, {"beforemonth", 0.5, neighbor("month", -1)},
	{"chat", 1, talk},
}
