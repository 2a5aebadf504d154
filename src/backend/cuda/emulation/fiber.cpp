#include "backend/cuda/emulation/fiber.h"

#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#include <cstdint>
#include <new>

namespace itemcrop::cuda::emulation {
namespace {

// Pages that are not touched cost nothing.
constexpr std::size_t kStackBytes = std::size_t{256} << 10;
/// Below the stack; must not be touched. A whole page wherever pages take up to 64 KiB.
constexpr std::size_t kGuardBytes = std::size_t{64} << 10;

}  // namespace
}  // namespace itemcrop::cuda::emulation

#if defined(__x86_64__)
// swapcontext() makes a system call for signal masks each time, which is most of its cost; a block
// of threads switches millions of times. Saves what the System V ABI wants kept.
extern "C" void itemcrop_emulation_switch(void** save, void* load);
asm(R"(
  .text
  .p2align 4
  .globl itemcrop_emulation_switch
  .hidden itemcrop_emulation_switch
  .type itemcrop_emulation_switch,@function
itemcrop_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size itemcrop_emulation_switch,.-itemcrop_emulation_switch
)");
#endif

namespace itemcrop::cuda::emulation {

struct Fiber::Context {
  void* stack = nullptr;
  void (*entry)(void*) = nullptr;
  void* argument = nullptr;
#if defined(__x86_64__)
  void* own = nullptr;
  void* caller = nullptr;
#else
  ucontext_t own, caller;
#endif
#if defined(__SANITIZE_ADDRESS__)
  const void* caller_stack = nullptr;
  std::size_t caller_bytes = 0;
  void* fake_stack = nullptr;
#endif

  static thread_local Context* starting;

  static void begin() {
    Context* self = starting;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &self->caller_stack, &self->caller_bytes);
#endif
    self->entry(self->argument);
  }
};

thread_local Fiber::Context* Fiber::Context::starting = nullptr;

Fiber::Fiber() : context_(std::make_unique<Context>()) {
  void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  if (mprotect(memory, kGuardBytes, PROT_NONE) != 0) {
    munmap(memory, kGuardBytes + kStackBytes);
    throw std::bad_alloc();
  }
  context_->stack = static_cast<std::byte*>(memory) + kGuardBytes;
}

Fiber::~Fiber() {
  munmap(static_cast<std::byte*>(context_->stack) - kGuardBytes, kGuardBytes + kStackBytes);
}

void Fiber::start(void (*entry)(void*), void* argument) {
  context_->entry = entry;
  context_->argument = argument;
#if defined(__SANITIZE_ADDRESS__)
  // What the fiber did before may have been abandoned half-way.
  __asan_unpoison_memory_region(context_->stack, kStackBytes);
#endif
#if defined(__x86_64__)
  // As if the switch had been called by begin()'s caller: six registers, begin, and a return
  // address that is never used, which leaves the stack aligned as after a call.
  auto** top = reinterpret_cast<void**>(static_cast<std::byte*>(context_->stack) + kStackBytes);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&Context::begin);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context_->own = top;
#else
  getcontext(&context_->own);
  context_->own.uc_stack.ss_sp = context_->stack;
  context_->own.uc_stack.ss_size = kStackBytes;
  context_->own.uc_link = nullptr;
  makecontext(&context_->own, &Context::begin, 0);
#endif
}

void Fiber::resume() {
  Context::starting = context_.get();
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, context_->stack, kStackBytes);
#endif
#if defined(__x86_64__)
  itemcrop_emulation_switch(&context_->caller, context_->own);
#else
  swapcontext(&context_->caller, &context_->own);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

void Fiber::suspend() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&context_->fake_stack, context_->caller_stack,
                                 context_->caller_bytes);
#endif
#if defined(__x86_64__)
  itemcrop_emulation_switch(&context_->own, context_->caller);
#else
  swapcontext(&context_->own, &context_->caller);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(context_->fake_stack, &context_->caller_stack,
                                  &context_->caller_bytes);
#endif
}

}  // namespace itemcrop::cuda::emulation
