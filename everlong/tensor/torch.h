#pragma once
// The one door to libtorch for sources; headers include the narrow piece they need instead.
// This header is what the torch rooms and their tests precompile.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/grad_mode.h>
#include <torch/nn/module.h>
