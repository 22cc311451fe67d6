"""Networks with NIFF layers: ResNet, DenseNet, MobileNetV2, ConvNeXt."""
