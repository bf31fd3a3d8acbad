"""Reference attention and decoder, written from the formulas in plain torch with loops."""

from __future__ import annotations

import itertools
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
    """Deformable DETR, eq. (3), for one sampling point after the other. Shapes as in tfpose_mm.ops."""
    batch, _, heads, dims = value.shape
    output = torch.zeros(batch, locations.shape[1], heads, dims, dtype=value.dtype)
    start = 0
    for level, (h, w) in enumerate(shapes):
        images = value[:, start : start + h * w].permute(0, 2, 3, 1).reshape(batch, heads, dims, h, w)
        start += h * w
        for b, q, head, p in itertools.product(*map(range, weights[:, :, :, level].shape)):
            x, y = locations[b, q, head, level, p].tolist()
            sampled = bilinear(images[b, head], x * w - 0.5, y * h - 0.5)
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
    sizes = torch.tensor([(w, h) for h, w in shapes], dtype=query.dtype)[:, None]
    locations = reference[:, :, None, None, None] + offsets / sizes
    value = F.linear(memory, module.value_proj.weight, module.value_proj.bias)
    value = value.reshape(batch, memory.shape[1], heads, channels // heads)
    output = attend(value, shapes, locations, weights)
    return query + F.linear(output, module.output_proj.weight, module.output_proj.bias)


def self_attention(module, query, query_pos):
    """Multi-head attention between the queries, with its residual."""
    attn = module.attn
    located = query + query_pos
    parts = zip((located, located, query), attn.in_proj_weight.chunk(3), attn.in_proj_bias.chunk(3))
    q, k, v = (F.linear(*part).unflatten(-1, (attn.num_heads, -1)).transpose(1, 2) for part in parts)
    attention = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), -1)
    mixed = (attention @ v).transpose(1, 2).flatten(2)
    return query + F.linear(mixed, attn.out_proj.weight, attn.out_proj.bias)


def ffn(module, x):
    """Two linear layers with a ReLU between them, and the residual."""
    (first, *_), second, _ = module.layers
    return x + F.linear(torch.relu(F.linear(x, first.weight, first.bias)), second.weight, second.bias)


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
        query = layer_norm(layer.norms[2], ffn(layer.ffn, query))
        step = query
        for index, linear in enumerate(branch.layers):
            step = F.linear(torch.relu(step) if index else step, linear.weight, linear.bias)
        y = 1 / (1 + torch.exp(-(torch.log(y / (1 - y)) + step)))
        coordinates.append(y)
    return torch.stack(coordinates)


def layer_norm(norm, x):
    return F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)
