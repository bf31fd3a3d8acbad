"""Reference attention and decoder, written from the formulas in plain torch with loops."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def bilinear(image, x, y):
    """Sample (C, h, w) at pixel coordinates where the first pixel's centre is at 0; outside is zero."""
    _, h, w = image.shape
    x0, y0 = math.floor(x), math.floor(y)
    total = torch.zeros(image.shape[0], dtype=image.dtype)
    for row in (y0, y0 + 1):
        for column in (x0, x0 + 1):
            if 0 <= row < h and 0 <= column < w:
                total = total + image[:, row, column] * (1 - abs(x - column)) * (1 - abs(y - row))
    return total


def attend(value, shapes, locations, weights):
    """Deformable DETR, eq. (3): loops over everything. Shapes as in tfpose_mm.ops."""
    batch, _, heads, dims = value.shape
    num_queries, levels, points = locations.shape[1], locations.shape[3], locations.shape[4]
    output = torch.zeros(batch, num_queries, heads, dims, dtype=value.dtype)
    for b in range(batch):
        for head in range(heads):
            start = 0
            for level in range(levels):
                h, w = shapes[level]
                image = value[b, start : start + h * w, head].T.reshape(dims, h, w)
                start += h * w
                for q in range(num_queries):
                    for p in range(points):
                        x, y = locations[b, q, head, level, p].tolist()
                        sampled = bilinear(image, x * w - 0.5, y * h - 0.5)
                        output[b, q, head] += weights[b, q, head, level, p] * sampled
    return output.flatten(2)


def deformable_attention(module, query, query_pos, memory, reference, shapes):
    """The whole module with its projections; reference is (B, Q, 2)."""
    batch, num_queries, channels = query.shape
    heads, levels, points = module.num_heads, module.num_levels, module.num_points
    located = query + query_pos
    offsets = F.linear(located, module.sampling_offsets.weight, module.sampling_offsets.bias)
    offsets = offsets.reshape(batch, num_queries, heads, levels, points, 2)
    logits = F.linear(located, module.attention_weights.weight, module.attention_weights.bias)
    weights = torch.softmax(logits.reshape(batch, num_queries, heads, -1), -1)
    weights = weights.reshape(batch, num_queries, heads, levels, points)
    locations = torch.zeros_like(offsets)
    for level, (h, w) in enumerate(shapes):
        size = torch.tensor([w, h], dtype=query.dtype)
        locations[:, :, :, level] = reference[:, :, None, None] + offsets[:, :, :, level] / size
    value = F.linear(memory, module.value_proj.weight, module.value_proj.bias)
    value = value.reshape(batch, memory.shape[1], heads, channels // heads)
    output = attend(value, shapes, locations, weights)
    return query + F.linear(output, module.output_proj.weight, module.output_proj.bias)


def self_attention(module, query, query_pos):
    """Multi-head attention between the queries, with its residual."""
    attn = module.attn
    channels, heads = query.shape[-1], attn.num_heads
    positioned = query + query_pos
    parts = []
    for index, source in enumerate((positioned, positioned, query)):
        rows = slice(index * channels, (index + 1) * channels)
        projected = source @ attn.in_proj_weight[rows].T + attn.in_proj_bias[rows]
        parts.append(projected.reshape(*query.shape[:2], heads, channels // heads).transpose(1, 2))
    q, k, v = parts
    attention = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(channels // heads), -1)
    mixed = (attention @ v).transpose(1, 2).reshape(query.shape)
    return query + mixed @ attn.out_proj.weight.T + attn.out_proj.bias


def decode(decoder, reg_branches, query, query_pos, memory, y0, shapes):
    """TFPose, section 3.3 and eq. (4): the coordinates of every layer, (N_D, B, K, 2).

    With the positions that are not in the paper if the decoder has them.
    """
    coordinates, y, position = [], y0, query_pos
    if decoder.token_position is not None:
        memory = memory + decoder.token_position(shapes)
    for layer, branch in zip(decoder.layers, reg_branches):
        if decoder.reference_position is not None:
            query_pos = position + decoder.reference_position(y)
        if layer.self_attn is not None:
            query = layer_norm(layer.norms[0], self_attention(layer.self_attn, query, query_pos))
        query = deformable_attention(layer.cross_attn, query, query_pos, memory, y, shapes)
        query = layer_norm(layer.norms[1], query)
        hidden = torch.relu(query @ layer.ffn.layers[0][0].weight.T + layer.ffn.layers[0][0].bias)
        query = query + hidden @ layer.ffn.layers[1].weight.T + layer.ffn.layers[1].bias
        query = layer_norm(layer.norms[2], query)
        step = query
        for index, linear in enumerate(branch.layers):
            step = step @ linear.weight.T + linear.bias
            step = torch.relu(step) if index < 2 else step
        y = 1 / (1 + torch.exp(-(torch.log(y / (1 - y)) + step)))
        coordinates.append(y)
    return torch.stack(coordinates)


def layer_norm(norm, x):
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias
