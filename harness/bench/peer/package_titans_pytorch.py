"""titans-pytorch: NeuralMemory. It updates its weights once per chunk; ours once per token, whatever the chunk."""

PACKAGE = "titans-pytorch"
DEPTHS = (1, 2)
CHUNKS = (1, 16, 64)


def memory(depth, chunk):
    def make(inputs):
        import torch
        from titans_pytorch import MemoryMLP, NeuralMemory

        layer = NeuralMemory(dim=256, chunk_size=chunk, heads=4, dim_head=64, model=MemoryMLP(64, depth=depth))
        x = torch.randn(4, 512, 256, requires_grad=True)
        return lambda: layer(x)[0], [x, *layer.parameters()]

    return make


def cases():
    import titans_pytorch  # noqa: F401

    return [
        Case(
            f"titans-pytorch depth {depth} chunk {chunk}",
            f"mixer lmm memory_layers={depth} chunk=64",
            4,
            512,
            f"theirs updates its memory every {chunk} tokens, ours every token",
            memory(depth, chunk),
        )
        for depth in DEPTHS
        for chunk in CHUNKS
    ]
