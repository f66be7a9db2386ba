// The kernels of known loads, as PTX: the driver compiles it for the GPU at hand.
#pragma once

namespace batchscope::cuda {

// spin(ns): every thread waits until %globaltimer has advanced by `ns`: busy, but at little power.
// burn(ns, sink): the same time filled with fused multiply-adds on eight independent chains a thread; the sums go to
// sink[thread of the grid] (float), so that they are not optimised away.
inline constexpr const char* load_kernels = R"(
.version 6.4
.target sm_70
.address_size 64

.visible .entry spin(.param .u64 ns) {
  .reg .u64 %start, %now, %passed, %wanted;
  .reg .pred %more;
  ld.param.u64 %wanted, [ns];
  mov.u64 %start, %globaltimer;
wait:
  mov.u64 %now, %globaltimer;
  sub.u64 %passed, %now, %start;
  setp.lt.u64 %more, %passed, %wanted;
  @%more bra wait;
  ret;
}

.visible .entry burn(.param .u64 ns, .param .u64 sink) {
  .reg .u64 %start, %now, %passed, %wanted, %to, %offset;
  .reg .u32 %thread, %block, %size, %turn;
  .reg .f32 %a, %b, %x<8>;
  .reg .pred %more;
  ld.param.u64 %wanted, [ns];
  ld.param.u64 %to, [sink];
  mov.u32 %thread, %tid.x;
  mov.u32 %block, %ctaid.x;
  mov.u32 %size, %ntid.x;
  mad.lo.u32 %thread, %block, %size, %thread;
  mul.wide.u32 %offset, %thread, 4;
  add.u64 %to, %to, %offset;
  cvt.rn.f32.u32 %x0, %thread;
  mov.f32 %a, 0f3F7FFEF0;
  mov.f32 %b, 0f3DCCCCCD;
  add.f32 %x1, %x0, 0f3F9E0652;
  add.f32 %x2, %x0, 0f40133333;
  add.f32 %x3, %x0, 0f405CCCCD;
  add.f32 %x4, %x0, 0f40933333;
  add.f32 %x5, %x0, 0f40B66666;
  add.f32 %x6, %x0, 0f40D9999A;
  add.f32 %x7, %x0, 0f40FCCCCD;
  mov.u64 %start, %globaltimer;
work:
  mov.u32 %turn, 0;
turns:
  fma.rn.f32 %x0, %x0, %a, %b;
  fma.rn.f32 %x1, %x1, %a, %b;
  fma.rn.f32 %x2, %x2, %a, %b;
  fma.rn.f32 %x3, %x3, %a, %b;
  fma.rn.f32 %x4, %x4, %a, %b;
  fma.rn.f32 %x5, %x5, %a, %b;
  fma.rn.f32 %x6, %x6, %a, %b;
  fma.rn.f32 %x7, %x7, %a, %b;
  add.u32 %turn, %turn, 1;
  setp.lt.u32 %more, %turn, 256;
  @%more bra turns;
  mov.u64 %now, %globaltimer;
  sub.u64 %passed, %now, %start;
  setp.lt.u64 %more, %passed, %wanted;
  @%more bra work;
  add.f32 %x0, %x0, %x1;
  add.f32 %x2, %x2, %x3;
  add.f32 %x4, %x4, %x5;
  add.f32 %x6, %x6, %x7;
  add.f32 %x0, %x0, %x2;
  add.f32 %x4, %x4, %x6;
  add.f32 %x0, %x0, %x4;
  st.global.f32 [%to], %x0;
  ret;
}
)";

}  // namespace batchscope::cuda
