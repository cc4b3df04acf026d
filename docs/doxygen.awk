# Doxygen's view of a header: our plain comments as the ones that it reads. A comment on lines of its
# own belongs to the name below it, one behind a name to that name, on the lines under it, too.

FNR == 1 && /^\/\/ / { print "/// @file" }
FNR == 1 && sub(/^\/\* /, " * ") { print "/** @file" }
/^#pragma once/ { next }  # in the place of the line above: numbers of lines stay right

/NOLINT|^ *\/\/ ---- / {
  column = 0
  print
  next
}

/^ *\/\// {
  mark = index($0, "//")
  text = substr($0, mark + 2)
  sub(/^   /, "       ", text)  # what we indent is code, and Markdown's code is indented further
  print substr($0, 1, mark - 1) (mark == column ? "///<" : "///") text
  next
}

# Behind a name; not within a text, as in "http://".
/[^ ] +\/\/ / {
  match($0, /[^ ] +\/\/ /)
  column = RSTART + RLENGTH - 3
  print substr($0, 1, column - 1) "///<" substr($0, column + 2)
  next
}

# Those of C; behind a name they begin and end on its line.
{
  column = 0
  if (!sub(/^ *\/\* /, "&\001")) sub(/[^ ] +\/\* /, "&<\001")
  if (match($0, /\/\* <?\001/)) {
    behind = substr($0, RSTART + 3, 1) == "<" ? "<" : ""
    $0 = substr($0, 1, RSTART - 1) "/**" behind " " substr($0, RSTART + RLENGTH)
  }
  print
}
