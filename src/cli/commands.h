#pragma once

#include <string_view>

#include "cli/arguments.h"
#include "cli/environment.h"
#include "cli/exit_code.h"

namespace CLI {
class App;
}

/// One function a subcommand. Each throws Error for what ends the run; the caller prints it.
namespace itemcrop::cli {

ExitCode run_crop(const CropArguments& arguments, const Environment& environment);
ExitCode run_detect(const DetectArguments& arguments, const Environment& environment);
ExitCode run_info(const InfoArguments& arguments, const Environment& environment);
ExitCode run_verify(const VerifyArguments& arguments, const Environment& environment);
ExitCode run_doctor(const DoctorArguments& arguments, const Environment& environment);
/// Runs until SIGTERM or SIGINT; SIGHUP loads the models again.
ExitCode run_serve(const ServeArguments& arguments, const Environment& environment);
ExitCode run_models(const ModelsArguments& arguments, const Environment& environment);
ExitCode run_completion(const CompletionArguments& arguments, const Environment& environment,
                        const CLI::App& app);

/// "itemcrop: error: ..." on the error stream.
void print_error(const Environment& environment, std::string_view message);

}  // namespace itemcrop::cli
