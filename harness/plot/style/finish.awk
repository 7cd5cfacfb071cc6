# A drawing of gnuplot's for every machine and for dark pages: fonts by a list that exists, and its colours a second time,
# light on dark, where the reader's system asks for it.
BEGIN { fonts = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif" }
function dark(colors, what, to,   list, n, i) {
    n = split(colors, list, ";")
    for (i = 1; i <= n; i++) printf "[%s=\"%s\"] { %s: %s }\n", what, list[i], what, to
}
function all(colors, to) { dark(colors, "fill", to); dark(colors, "stroke", to); dark(colors, "color", to) }
/^<title>/ {
    print "<style>@media (prefers-color-scheme: dark) {"
    dark("#ffffff", "fill", "#0d1117")
    dark("black;rgb(34,34,34)", "fill", "#e6e6e6")
    dark("rgb(102,102,102)", "fill", "#a0a8b0")
    dark("rgb( 68,  68,  68)", "stroke", "#a0a8b0")
    dark("rgb(221, 221, 221)", "stroke", "#30363d")
    all("rgb(  0, 114, 178);rgb(0,114,178)", "#4aa3df")
    all("rgb(  8,  48, 107)", "#c6dbef")
    all("rgb(  8,  81, 156)", "#9ecae1")
    all("rgb(170,  68, 153)", "#d07cc0")
    print "}</style>"
}
{ gsub(/font-family="Helvetica"/, "font-family=\"" fonts "\""); print }
