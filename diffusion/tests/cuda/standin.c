// Stand-ins for NVIDIA's libraries, so that ONNX Runtime's CUDA provider runs where there is no GPU.
//
// The provider is the real one. Below it a GPU's memory is the host's, copies are copies, and kernels
// compute nothing: outputs are what the memory held, zeros at first. So pictures are of no use, and all
// around the kernels can be tested: which nodes run on the GPU and whether there are kernels for them,
// memory and its limits, recorded graphs, and a GPU that is lost.
//
// Compiled once for each library, with LIBRARY_… defined; see make-standin. Functions that have to do
// nothing but succeed are listed by NOTHING. One that is missing shows when the provider is loaded.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Its name is given to the linker alone: headers declare it with arguments.
#define NOTHING(name) \
	int nothing_##name(void) __asm__(#name); \
	int nothing_##name(void) { return 0; }
// A function that makes an object that nothing is read from.
#define HANDLE(name) \
	int name(void **handle) { \
		*handle = calloc(1, 512); \
		return 0; \
	}

#define DEVICES 2
#define DEVICE_NAME "Stand-in"
#define MEMORY ((size_t)16 << 30)

#ifdef LIBRARY_cuda
// The driver, as the engine asks it.

int cuInit(unsigned flags) { return 0; }
int cuDeviceGet(int *device, int ordinal) {
	*device = ordinal;
	return ordinal >= 0 && ordinal < DEVICES ? 0 : 101;
}
int cuDeviceGetName(char *name, int length, int device) {
	snprintf(name, length, DEVICE_NAME);
	return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
	*bytes = MEMORY;
	return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
	*value = attribute == 75 ? 9 : 0; // The compute capability is 9.0.
	return 0;
}
NOTHING(cuTensorMapEncodeTiled)
#endif

#ifdef LIBRARY_cudart
#include <cuda_runtime_api.h>

typedef struct {
	char *begin;
	size_t length;
	int device; // Or -1 for pinned memory of the host.
} Block;

typedef struct {
	int capturing;
} Stream;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Block *blocks;
static size_t block_count, block_room;
static size_t used[DEVICES], memory = MEMORY;
static long long launches, recordings, replays;
// From this launch on the GPU is lost; 0 for never.
static long long lost_from[DEVICES];
// What every call answers once it is.
static cudaError_t lost[DEVICES];
static int capturing;
static Stream default_stream;
static __thread int current;
static __thread cudaError_t last;

// --- For the tests ---

void standin_memory(size_t bytes) { memory = bytes; }
void standin_lose_after(int device, long long further) { lost_from[device] = launches + further + 1; }
long long standin_launches(void) { return launches; }
long long standin_recordings(void) { return recordings; }
long long standin_replays(void) { return replays; }
size_t standin_used(int device) { return used[device]; }

// --- Errors ---

static cudaError_t answer(cudaError_t error) {
	if (lost[current]) error = lost[current];
	if (error) last = error;
	return error;
}
// For what may not happen on any stream while one is recorded.
static cudaError_t unrecorded(void) { return answer(capturing ? cudaErrorStreamCaptureUnsupported : 0); }

cudaError_t cudaGetLastError(void) {
	cudaError_t error = last;
	last = lost[current];
	return error;
}
cudaError_t cudaPeekAtLastError(void) { return last; }
const char *cudaGetErrorName(cudaError_t error) {
	switch (error) {
	case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
	case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
	case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
	default: return "cudaErrorInvalidValue";
	}
}
const char *cudaGetErrorString(cudaError_t error) {
	switch (error) {
	case cudaErrorMemoryAllocation: return "out of memory";
	case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
	case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
	default: return "invalid argument";
	}
}

// --- Devices ---

cudaError_t cudaGetDevice(int *device) {
	*device = current;
	return 0;
}
cudaError_t cudaSetDevice(int device) {
	if (device < 0 || device >= DEVICES) return answer(cudaErrorInvalidDevice);
	current = device;
	return answer(0);
}
cudaError_t cudaGetDeviceCount(int *count) {
	*count = DEVICES;
	return 0;
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *it, int device) {
	memset(it, 0, sizeof *it);
	strcpy(it->name, DEVICE_NAME);
	it->totalGlobalMem = memory;
	it->major = 9;
	it->multiProcessorCount = 132;
	it->warpSize = 32;
	it->maxThreadsPerBlock = 1024;
	it->maxThreadsPerMultiProcessor = 2048;
	it->sharedMemPerBlock = 48 << 10;
	it->sharedMemPerBlockOptin = 227 << 10;
	it->sharedMemPerMultiprocessor = 228 << 10;
	it->regsPerBlock = it->regsPerMultiprocessor = 64 << 10;
	it->l2CacheSize = 60 << 20;
	for (int i = 0; i < 3; i++) {
		it->maxThreadsDim[i] = i < 2 ? 1024 : 64;
		it->maxGridSize[i] = i ? 65535 : INT32_MAX;
	}
	it->unifiedAddressing = it->concurrentKernels = it->memoryPoolsSupported = 1;
	return answer(0);
}
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
	struct cudaDeviceProp it;
	cudaGetDeviceProperties(&it, device);
	switch (attribute) {
	case cudaDevAttrComputeCapabilityMajor: *value = it.major; break;
	case cudaDevAttrMultiProcessorCount: *value = it.multiProcessorCount; break;
	case cudaDevAttrWarpSize: *value = it.warpSize; break;
	case cudaDevAttrMaxThreadsPerBlock: *value = it.maxThreadsPerBlock; break;
	case cudaDevAttrMaxThreadsPerMultiProcessor: *value = it.maxThreadsPerMultiProcessor; break;
	case cudaDevAttrMaxSharedMemoryPerBlock: *value = it.sharedMemPerBlock; break;
	case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = it.sharedMemPerBlockOptin; break;
	case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = it.sharedMemPerMultiprocessor; break;
	case cudaDevAttrMaxRegistersPerBlock: *value = it.regsPerBlock; break;
	case cudaDevAttrMaxGridDimX: *value = it.maxGridSize[0]; break;
	case cudaDevAttrMaxGridDimY:
	case cudaDevAttrMaxGridDimZ: *value = it.maxGridSize[1]; break;
	case cudaDevAttrL2CacheSize: *value = it.l2CacheSize; break;
	case cudaDevAttrCooperativeLaunch:
	case cudaDevAttrMemoryPoolsSupported: *value = 1; break;
	default: *value = 0;
	}
	return answer(0);
}
cudaError_t cudaDriverGetVersion(int *version) {
	*version = 13000;
	return 0;
}
cudaError_t cudaRuntimeGetVersion(int *version) {
	*version = 13000;
	return 0;
}
cudaError_t cudaDeviceSynchronize(void) { return unrecorded(); }
cudaError_t cudaGetDriverEntryPointByVersion(
	const char *name, void **function, unsigned version, unsigned long long flags,
	enum cudaDriverEntryPointQueryResult *result
) {
	void *driver = dlopen("libcuda.so.1", RTLD_NOW);
	*function = driver ? dlsym(driver, name) : NULL;
	if (result) *result = *function ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
	return 0;
}

// --- Memory ---

static cudaError_t allocate(void **begin, size_t length, int device) {
	cudaError_t error = answer(0);
	if (error) return error;
	pthread_mutex_lock(&lock);
	*begin = NULL;
	if (device < 0 || (length <= memory && used[device] <= memory - length)) {
		if (!posix_memalign(begin, 4096, length ? length : 1)) {
			memset(*begin, 0, length);
			if (block_count == block_room) {
				block_room = block_room ? 2 * block_room : 64;
				blocks = realloc(blocks, block_room * sizeof *blocks);
			}
			blocks[block_count++] = (Block){*begin, length, device};
			if (device >= 0) used[device] += length;
		}
	}
	pthread_mutex_unlock(&lock);
	return answer(*begin ? 0 : cudaErrorMemoryAllocation);
}
static cudaError_t release(void *begin) {
	cudaError_t error = answer(begin ? cudaErrorInvalidValue : 0);
	if (lost[current]) return error;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; begin && i < block_count; i++) {
		if (blocks[i].begin != begin) continue;
		if (blocks[i].device >= 0) used[blocks[i].device] -= blocks[i].length;
		blocks[i] = blocks[--block_count];
		free(begin);
		last = error = 0;
		break;
	}
	pthread_mutex_unlock(&lock);
	return error;
}
// The device whose memory this is; -1 for pinned memory, -2 for any other.
static int device_of(const void *address) {
	int device = -2;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < block_count; i++) {
		const char *begin = blocks[i].begin;
		if ((const char *)address >= begin && (const char *)address < begin + blocks[i].length)
			device = blocks[i].device;
	}
	pthread_mutex_unlock(&lock);
	return device;
}

cudaError_t cudaMalloc(void **begin, size_t length) {
	cudaError_t error = unrecorded();
	return error ? error : allocate(begin, length, current);
}
cudaError_t cudaMallocFromPoolAsync(void **begin, size_t length, cudaMemPool_t pool, cudaStream_t stream) {
	return allocate(begin, length, current);
}
cudaError_t cudaMallocHost(void **begin, size_t length) { return allocate(begin, length, -1); }
cudaError_t cudaHostAlloc(void **begin, size_t length, unsigned flags) { return allocate(begin, length, -1); }
cudaError_t cudaFree(void *begin) {
	cudaError_t error = unrecorded();
	return error ? error : release(begin);
}
cudaError_t cudaFreeAsync(void *begin, cudaStream_t stream) { return release(begin); }
cudaError_t cudaFreeHost(void *begin) { return release(begin); }
cudaError_t cudaMemGetInfo(size_t *left, size_t *total) {
	*total = memory;
	*left = memory - used[current];
	return answer(0);
}
cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *it, const void *address) {
	int device = device_of(address);
	memset(it, 0, sizeof *it);
	it->type = device >= 0 ? cudaMemoryTypeDevice : device == -1 ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
	it->device = device >= 0 ? device : 0;
	it->devicePointer = device >= -1 ? (void *)address : NULL;
	return answer(0);
}
static cudaError_t copy(void *to, const void *from, size_t length, enum cudaMemcpyKind kind) {
	int reads_gpu = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
	int writes_gpu = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
	if ((reads_gpu && device_of(from) < 0) || (writes_gpu && device_of(to) < 0))
		return answer(cudaErrorInvalidValue);
	cudaError_t error = answer(0);
	if (!error) memmove(to, from, length);
	return error;
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t length, enum cudaMemcpyKind kind) {
	cudaError_t error = unrecorded();
	return error ? error : copy(to, from, length, kind);
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t length, enum cudaMemcpyKind kind, cudaStream_t on) {
	return copy(to, from, length, kind);
}
cudaError_t cudaMemcpy2DAsync(
	void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
	enum cudaMemcpyKind kind, cudaStream_t stream
) {
	cudaError_t error = 0;
	for (size_t row = 0; row < height && !error; row++)
		error = copy((char *)to + row * to_pitch, (const char *)from + row * from_pitch, width, kind);
	return error;
}
cudaError_t cudaMemcpyFromSymbol(void *to, const void *symbol, size_t length, size_t at, enum cudaMemcpyKind kind) {
	memset(to, 0, length);
	return answer(0);
}
cudaError_t cudaMemset(void *begin, int value, size_t length) {
	cudaError_t error = answer(0);
	if (!error) memset(begin, value, length);
	return error;
}
cudaError_t cudaMemsetAsync(void *begin, int value, size_t length, cudaStream_t stream) {
	return cudaMemset(begin, value, length);
}
cudaError_t cudaMemPoolCreate(cudaMemPool_t *pool, const struct cudaMemPoolProps *properties) {
	*pool = calloc(1, 64);
	return answer(0);
}

// --- Streams, events and recorded graphs ---

static Stream *stream_of(cudaStream_t stream) {
	// Small numbers are the streams that are always there.
	return (uintptr_t)stream < 16 ? &default_stream : (Stream *)stream;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
	*stream = calloc(1, sizeof(Stream));
	return answer(0);
}
cudaError_t cudaStreamCreate(cudaStream_t *stream) { return cudaStreamCreateWithFlags(stream, 0); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
	free(stream);
	return answer(0);
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return unrecorded(); }
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) { return answer(0); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
	*event = calloc(1, 64);
	return answer(0);
}
cudaError_t cudaEventCreate(cudaEvent_t *event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
	free(event);
	return answer(0);
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) { return answer(0); }
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) { return answer(0); }
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return answer(0); }
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to) {
	*milliseconds = 0.001f;
	return answer(0);
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data) {
	function(data);
	return answer(0);
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
	stream_of(stream)->capturing = capturing = 1;
	return answer(0);
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
	stream_of(stream)->capturing = capturing = 0;
	*graph = calloc(1, 64);
	recordings++;
	return answer(0);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
	*status = stream_of(stream)->capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
	return answer(0);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *ready, cudaGraph_t graph, unsigned long long flags) {
	*ready = calloc(1, 64);
	return answer(0);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
	replays++;
	return answer(0);
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
	free(graph);
	return answer(0);
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
	free(graph);
	return answer(0);
}

// --- Kernels ---

static cudaError_t launch(void) {
	pthread_mutex_lock(&lock);
	launches++;
	if (lost_from[current] && launches >= lost_from[current]) lost[current] = cudaErrorIllegalAddress;
	pthread_mutex_unlock(&lock);
	return answer(0);
}
cudaError_t cudaLaunchKernel(const void *f, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t on) {
	return launch();
}
cudaError_t __cudaLaunchKernel(const void *f, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t on) {
	return launch();
}
cudaError_t cudaLaunchCooperativeKernel(
	const void *f, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t on
) {
	return launch();
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *how, const void *f, void **arguments) { return launch(); }
static __thread struct {
	dim3 grid, block;
	size_t shared;
	void *stream;
} call;
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void *stream) {
	call.grid = grid;
	call.block = block;
	call.shared = shared;
	call.stream = stream;
	return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream) {
	*grid = call.grid;
	*block = call.block;
	*shared = call.shared;
	*(void **)stream = call.stream;
	return 0;
}
cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *f) {
	*kernel = (cudaKernel_t)f;
	return answer(0);
}
cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *it, const void *f) {
	memset(it, 0, sizeof *it);
	it->maxThreadsPerBlock = 1024;
	it->binaryVersion = it->ptxVersion = 90;
	it->maxDynamicSharedSizeBytes = 227 << 10;
	it->numRegs = 32;
	return answer(0);
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
	int *blocks, const void *f, int threads, size_t shared, unsigned flags
) {
	*blocks = 2;
	return answer(0);
}
void **__cudaRegisterFatBinary(void *code) {
	static void *handle;
	return &handle;
}
NOTHING(__cudaRegisterFatBinaryEnd)
NOTHING(__cudaRegisterFunction)
NOTHING(__cudaRegisterVar)
NOTHING(__cudaUnregisterFatBinary)
NOTHING(cudaFuncSetAttribute)
NOTHING(cudaKernelSetAttributeForDevice)
NOTHING(cudaLibraryGetKernel)
NOTHING(cudaLibraryLoadData)
NOTHING(cudaLibraryUnload)
NOTHING(cudaMemPoolDestroy)
NOTHING(cudaMemPoolGetAttribute)
NOTHING(cudaMemPoolSetAttribute)
NOTHING(cudaMemPoolTrimTo)
#endif

#ifdef LIBRARY_cublas
HANDLE(cublasCreate_v2)
int cublasDestroy_v2(void *handle) {
	free(handle);
	return 0;
}
int cublasGetMathMode(void *handle, int *mode) {
	*mode = 0;
	return 0;
}
const char *cublasGetStatusName(int status) { return "CUBLAS_STATUS"; }
const char *cublasGetStatusString(int status) { return "a status of the stand-in"; }
NOTHING(cublasDgeam)
NOTHING(cublasDgemmBatched)
NOTHING(cublasDgemmStridedBatched)
NOTHING(cublasDgemm_v2)
NOTHING(cublasDgetrfBatched)
NOTHING(cublasDgetriBatched)
NOTHING(cublasGemmBatchedEx)
NOTHING(cublasGemmEx)
NOTHING(cublasGemmStridedBatchedEx)
NOTHING(cublasScopy_v2)
NOTHING(cublasSetMathMode)
NOTHING(cublasSetStream_v2)
NOTHING(cublasSgeam)
NOTHING(cublasSgemmBatched)
NOTHING(cublasSgemmStridedBatched)
NOTHING(cublasSgemm_v2)
NOTHING(cublasSgetrfBatched)
NOTHING(cublasSgetriBatched)
NOTHING(cublasSscal_v2)
#endif

#ifdef LIBRARY_cublasLt
HANDLE(cublasLtCreate)
HANDLE(cublasLtMatmulDescCreate)
HANDLE(cublasLtMatmulPreferenceCreate)
HANDLE(cublasLtMatrixLayoutCreate)
HANDLE(cublasLtMatrixTransformDescCreate)
// One algorithm, which succeeds and needs no workspace: all of what a result says is 0.
int cublasLtMatmulAlgoGetHeuristic(
	void *handle, void *operation, void *a, void *b, void *c, void *d, void *preference, int wanted, void *results,
	int *found
) {
	memset(results, 0, 96);
	*found = 1;
	return 0;
}
NOTHING(cublasLtDestroy)
NOTHING(cublasLtMatmul)
NOTHING(cublasLtMatmulAlgoConfigSetAttribute)
NOTHING(cublasLtMatmulAlgoInit)
NOTHING(cublasLtMatmulDescDestroy)
NOTHING(cublasLtMatmulDescSetAttribute)
NOTHING(cublasLtMatmulPreferenceDestroy)
NOTHING(cublasLtMatmulPreferenceSetAttribute)
NOTHING(cublasLtMatrixLayoutDestroy)
NOTHING(cublasLtMatrixLayoutSetAttribute)
NOTHING(cublasLtMatrixTransform)
NOTHING(cublasLtMatrixTransformDescDestroy)
#endif

#ifdef LIBRARY_cudnn
size_t cudnnGetVersion(void) { return 91900; }
size_t cudnnGetCudartVersion(void) { return 13000; }
const char *cudnnGetErrorString(int status) { return "CUDNN_STATUS"; }
void cudnnGetLastErrorString(char *message, size_t room) {
	if (room) *message = 0;
}
HANDLE(cudnnCreate)
int cudnnDestroy(void *handle) {
	free(handle);
	return 0;
}
int cudnnBackendCreateDescriptor(int type, void **descriptor) {
	*descriptor = calloc(1, 64);
	return 0;
}
int cudnnBackendDestroyDescriptor(void *descriptor) {
	free(descriptor);
	return 0;
}
// There is one engine for each operation, which needs no memory.
int cudnnBackendGetAttribute(void *descriptor, int attribute, int type, int64_t room, int64_t *count, void *values) {
	enum {
		HEURISTIC_RESULTS = 202,
		CONFIG_ENGINE = 300,
		CONFIG_WORKSPACE = 303,
		CONFIG_SHARED_MEMORY = 304,
		PLAN_WORKSPACE = 402,
		ENGINE_NUMBER = 1301,
	};
	int64_t found = 0;
	switch (attribute) {
	case HEURISTIC_RESULTS:
	case CONFIG_ENGINE: found = 1; break;
	case CONFIG_SHARED_MEMORY:
		if (values) memset(values, 0, 4);
		found = 1;
		break;
	case CONFIG_WORKSPACE:
	case PLAN_WORKSPACE:
	case ENGINE_NUMBER:
		if (values) memset(values, 0, 8);
		found = 1;
	}
	if (count) *count = found;
	return 0;
}
HANDLE(cudnnCreateActivationDescriptor)
HANDLE(cudnnCreateConvolutionDescriptor)
HANDLE(cudnnCreateDropoutDescriptor)
HANDLE(cudnnCreateFilterDescriptor)
HANDLE(cudnnCreateLRNDescriptor)
HANDLE(cudnnCreatePoolingDescriptor)
HANDLE(cudnnCreateReduceTensorDescriptor)
HANDLE(cudnnCreateRNNDataDescriptor)
HANDLE(cudnnCreateRNNDescriptor)
HANDLE(cudnnCreateTensorDescriptor)
NOTHING(cudnnAddTensor)
NOTHING(cudnnBackendExecute)
NOTHING(cudnnBackendFinalize)
NOTHING(cudnnBackendSetAttribute)
NOTHING(cudnnBatchNormalizationForwardInference)
NOTHING(cudnnBatchNormalizationForwardTraining)
NOTHING(cudnnDeriveBNTensorDescriptor)
NOTHING(cudnnDestroyActivationDescriptor)
NOTHING(cudnnDestroyConvolutionDescriptor)
NOTHING(cudnnDestroyDropoutDescriptor)
NOTHING(cudnnDestroyFilterDescriptor)
NOTHING(cudnnDestroyLRNDescriptor)
NOTHING(cudnnDestroyPoolingDescriptor)
NOTHING(cudnnDestroyReduceTensorDescriptor)
NOTHING(cudnnDestroyRNNDataDescriptor)
NOTHING(cudnnDestroyRNNDescriptor)
NOTHING(cudnnDestroyTensorDescriptor)
NOTHING(cudnnGetStream)
NOTHING(cudnnSetActivationDescriptor)
NOTHING(cudnnSetConvolutionGroupCount)
NOTHING(cudnnSetConvolutionMathType)
NOTHING(cudnnSetConvolutionNdDescriptor)
NOTHING(cudnnSetFilterNdDescriptor)
NOTHING(cudnnSetStream)
NOTHING(cudnnSetTensorNdDescriptor)
NOTHING(cudnnSoftmaxForward)
#endif
