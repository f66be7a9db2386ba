// Where a command's results go: a file, written whole or not at all, or standard output for "-".
#pragma once

#include <string>
#include <string_view>

namespace batchscope::cli {

// Before the work, not after it: a result that cannot be written is work lost. InputError names the flag.
void check_destination(const std::string& destination, std::string_view flag);
// InputError for the name of a file that is to be a .bscope file and says that it is another kind.
void check_store_name(const std::string& destination, std::string_view flag);

void write_output(const std::string& destination, std::string_view content);

// Standard output. A reader that went away (`| head`) is no error, but false: more would be for nobody. A full disk is
// a Failure.
bool print(std::string_view text);
// For people: names in it may come from anybody's file, process or server, and a terminal obeys some characters. Those
// are made visible here, whatever made the text.
bool print_text(std::string_view text);

// A line for people on standard error.
void warn(std::string_view text);

bool stderr_is_terminal();
// Colours: standard output is a terminal, and NO_COLOR is not set.
bool stdout_has_colour();

}  // namespace batchscope::cli
