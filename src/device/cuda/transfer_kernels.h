// What fills a GPU's tensors besides ops: conversion of uploaded matrices, and random numbers.
#pragma once

#include <cuda_runtime_api.h>

#include "device/device.h"
#include "tensor/tensor.h"

namespace batchscope {

// to = from, each element rounded to nearest even; shapes are equal, both on the device, rows may be strided. i32 only
// to i32.
void convert_cuda(cudaStream_t stream, const Tensor& from, const Tensor& to);

// Columns of rows from column_begin on as FP8, each row with the scale that makes its largest magnitude 448, wherever in the
// whole row that is (tensor/host_rows.h).
void round_to_fp8_cuda(cudaStream_t stream, const Tensor& rows, std::int64_t column_begin, const Weight& to);

// The values that a host draws (tensor/drawn_values.h), rounded to the weight's dtype.
void draw_cuda(cudaStream_t stream, const DrawnMatrix& values, const Weight& to);

}  // namespace batchscope
