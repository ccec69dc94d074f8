package tasks

// table is every task and how often it is asked.
var table = []task{
	{"copy", 5, copyText}, {"reverse", 4, reverse}, {"upper", 2.5, upper}, {"lower", 2, lower},
	{"first", 2, first}, {"last", 2.5, last}, {"second", 1.5, second}, {"twice", 1.2, twice},
	{"dropfirst", 1.5, dropFirst}, {"droplast", 1.5, dropLast}, {"comma", 1.5, comma},
	{"count", 2, count}, {"longest", 0.5, longestWord},
	{"contains", 3, contains}, {"member", 3, member}, {"oddone", 2, oddOne}, {"kind", 1, kind}, {"isa", 2, isA},
	{"person", 2, extract("person")}, {"number", 1.2, extract("number")}, {"date", 2.5, extract("date")},
	{"city", 1.2, extract("city")}, {"color", 0.7, extract("color")}, {"email", 1, email}, {"price", 1.5, price},
	{"reading", 4, reading}, {"negate", 0.5, negate}, {"ask", 0.5, question},
	{"add", 4, add}, {"subtract", 2.5, subtract}, {"sum", 3, sum}, {"spell", 1.5, spell}, {"digits", 1.2, digits},
	{"larger", 1.2, larger}, {"smaller", 1.2, smaller}, {"next", 1.2, next},
	{"spanish", 5, toSpanish}, {"english", 4, toEnglish},
	{"sentiment", 4, sentiment}, {"goodbad", 1, goodBad}, {"liked", 1, liked}, {"disliked", 1, disliked},
	{"topic", 2, topic}, {"reply", 1, reply}, {"subject", 3, subject}, {"label", 2, label},
	{"opposite", 1.2, fact("opposite", true)}, {"capital", 0.8, fact("capital", false)}, {"country", 0.5, countryOf},
	{"past", 1, fact("past", false)}, {"plural", 1, fact("plural", false)}, {"young", 0.3, fact("young", false)},
	{"sound", 0.3, fact("sound", false)}, {"colored", 0.3, fact("colored", false)},
	{"after", 0.5, neighbor("day", 1)}, {"before", 0.5, neighbor("day", -1)},
	{"aftermonth", 0.5, neighbor("month", 1)}, {"beforemonth", 0.5, neighbor("month", -1)},
	{"chat", 1, talk},
}
