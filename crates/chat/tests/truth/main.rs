//! hob's templates and dialects against what llama.cpp's own tests expect: cases that nobody here
//! wrote, read from its source at run time.

mod cpp;
mod goldens;
mod jinja;
mod parses;
